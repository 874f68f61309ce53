-- view: all that the keys say of one task, read at once, and which of the rules it breaks.

local SETS = {'due', 'held', 'running', 'finished', 'dead'}
local IS_SET = {due = true, held = true, running = true, finished = true, dead = true}
local HOME = {scheduled = 'due', held = 'held', ready = 'ready', running = 'running', completed = 'finished',
  skipped = 'finished', expired = 'finished', cancelled = 'finished', dead = 'dead'}
local LONGEST_LEASE, LONGEST_KEPT = 3600000, 31536000000

local function type_of(key)
  local found = redis.call('TYPE', key)
  return type(found) == 'table' and found.ok or found
end

-- The entry that priority/stream id names, and its stream; nil where there is none.
local function entry_at(q, name)
  local priority, ms, n = string.match(name or '', '^(%a+)/(%d+)%-(%d+)$')
  if not priority or not PRIORITY[priority] or #ms > 15 or #n > 15 then return nil end
  local stream, at = stream_of(q, priority), ms .. '-' .. n
  local found = soft('XRANGE', stream, at, at)
  return found and found[1], stream, at
end

local function view_of(q, id)
  local v = {id = id, score = {}, places = 0, valid = is_id(id), kind = 'none'}
  for _, place in ipairs(SETS) do
    local score = soft('ZSCORE', q[place], id)
    v.score[place] = score and tonumber(score) or nil
    if score then v.places = v.places + 1 end
  end
  if v.valid then v.kind = type_of(q.task .. id) end
  if v.places == 0 then
    for _, reason in ipairs({'missing', 'wrong type', 'bad id', 'bad time', 'malformed'}) do
      v.aside = v.aside or soft('ZSCORE', q.quarantine, reason .. ':' .. string.sub(id, 1, 128))
    end
  end
  if v.kind ~= 'hash' then return v end
  local names = {'state', 'type', 'priority', 'attempt', 'max_attempts', 'timeout_ms', 'expires_at', 'entry', 'token',
    'finished_at', 'reason', 'blocked', 'conditions', 'bound', 'key', 'into'}
  local found = redis.call('HMGET', q.task .. id, unpack(names))
  for i, name in ipairs(names) do v[name] = found[i] or nil end
  v.payload = redis.call('HEXISTS', q.task .. id, 'payload') == 1
  v.expiring = redis.call('PTTL', q.task .. id) >= 0
  local entry = entry_at(q, v.entry)
  v.named = entry and entry[2][2] == id                 -- its hash names an entry that is there and is its own
  v.told, v.state = v.state, state_of(v.state)
  v.tries, v.most = number_or('attempt', v.attempt, 0), number_or('max_attempts', v.max_attempts, 5)
  v.claim = tonumber(string.match(v.token or '', '^(%d%d?%d?%d?)%.%w+$'))
  return v
end

-- Whether promote or claim would refuse the fields of a task that waits.
local function malformed(v, state)
  return not (is_name(v.type) and v.payload and v.tries and v.most and number_or('timeout_ms', v.timeout_ms, 60000)
    and number_or('expires_at', v.expires_at, 4e12) and (state == 'ready' or PRIORITY[v.priority or 'normal']))
end

-- What has to stay the same for a fault to be the same: everything but the time that is left to a key.
local function mark_of(v, ...)
  local words = {v.kind, v.told or '', v.entry or '', v.token or '', v.attempt or '', v.finished_at or '', ...}
  for _, place in ipairs(SETS) do words[#words + 1] = tostring(v.score[place] or '') end
  return table.concat(words, '|')
end

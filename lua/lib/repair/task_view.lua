-- task_view: all that the keys say of one task, read at once.
--
-- USES  keys, check, safe, hash, streams

task_view.SETS = {'due', 'held', 'running', 'finished', 'dead'}
task_view.IS_SET = {due = true, held = true, running = true, finished = true, dead = true}
task_view.SET_OF = {scheduled = 'due', held = 'held', ready = 'ready', running = 'running', completed = 'finished',
  skipped = 'finished', expired = 'finished', cancelled = 'finished', dead = 'dead'}
task_view.LONGEST_LEASE, task_view.LONGEST_KEPT = 3600000, 31536000000

-- The entry that <priority>/<stream id> names, and its stream; nil if there is none.
function task_view.entry_at(q, name)
  local priority, ms, n = string.match(name or '', '^(%a+)/(%d+)%-(%d+)$')
  if not priority or not check.PRIORITIES[priority] or #ms > 15 or #n > 15 then return nil end
  local stream, at = streams.of(q, priority), ms .. '-' .. n
  local found = safe.call('XRANGE', stream, at, at)
  return found and found[1], stream, at
end

function task_view.read(q, id)
  local v = {id = id, score = {}, places = 0, valid = keys.is_id(id), kind = 'none'}
  for _, place in ipairs(task_view.SETS) do
    local score = safe.call('ZSCORE', q[place], id)
    v.score[place] = score and tonumber(score) or nil
    if score then v.places = v.places + 1 end
  end
  if v.valid then v.kind = safe.type_of(q.task .. id) end
  if v.places == 0 then
    for _, reason in ipairs({'missing', 'wrong type', 'bad id', 'bad time', 'malformed'}) do
      v.aside = v.aside or safe.call('ZSCORE', q.quarantine, reason .. ':' .. string.sub(id, 1, 128))
    end
  end
  if v.kind ~= 'hash' then return v end
  local names = {'state', 'type', 'priority', 'attempt', 'max_attempts', 'timeout_ms', 'expires_at', 'entry', 'token',
    'finished_at', 'reason', 'blocked', 'conditions', 'bound', 'key', 'into', 'tags', 'created_at'}
  local found = redis.call('HMGET', q.task .. id, unpack(names))
  for i, name in ipairs(names) do v[name] = found[i] or nil end
  v.payload = redis.call('HEXISTS', q.task .. id, 'payload') == 1
  v.expiring = redis.call('PTTL', q.task .. id) >= 0
  local entry = task_view.entry_at(q, v.entry)
  v.named = entry and entry[2][2] == id                 -- its hash names an entry that exists and holds its id
  v.told, v.state = v.state, hash.state_of(v.state)
  v.tries, v.most = check.number_or('attempt', v.attempt, 0), check.number_or('max_attempts', v.max_attempts, 5)
  v.claim = tonumber(string.match(v.token or '', '^(%d%d?%d?%d?)%.%w+$'))
  return v
end

-- Whether promote or claim would refuse the fields of a task that waits.
function task_view.is_malformed(v, state)
  return not (keys.is_name(v.type) and v.payload and v.tries and v.most and check.number_or('timeout_ms', v.timeout_ms, 60000)
    and check.number_or('expires_at', v.expires_at, 4e12) and (state == 'ready' or check.PRIORITIES[v.priority or 'normal']))
end

-- What has to stay the same for a fault to be the same: everything but the time that is left to a key.
function task_view.mark(v, ...)
  local words = {v.kind, v.told or '', v.entry or '', v.token or '', v.attempt or '', v.finished_at or '', ...}
  for _, place in ipairs(task_view.SETS) do words[#words + 1] = tostring(v.score[place] or '') end
  return table.concat(words, '|')
end

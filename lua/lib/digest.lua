-- digest: tasks of one key that become one. They wait together in the order in which they came: the first is due when the
-- digest closes, the others are held. A digest has a name of its own, <task that opened it>/<ms>, because its first task may
-- end without running: then the next takes its place. Each of its tasks has the name in its field into, and d in bound.

local DIGESTS = {}

function DIGESTS.has(bound) return bound and string.find(bound, 'd', 1, true) ~= nil end

-- The task whose run has all items; nil where there is none yet. Once it was removed, another may have its id.
function DIGESTS.started_by(q, name)
  local told = soft('HMGET', q.items .. name, ':started', ':removed') or {}
  local starter = told[1]
  if starter and told[2] then return starter end
  local found = starter and read(q.task .. starter, 'state', 'frozen')
  if not starter or found and not found[2] and LIVE[state_of(found[1])] then return nil end
  return starter
end

-- The task whose run has the item of this one.
function DIGESTS.merged_into(q, id)
  local name = redis.call('HGET', q.task .. id, 'into')
  local starter = name and soft('ZSCORE', q.digest_members .. name, id) and DIGESTS.started_by(q, name)
  return starter ~= id and starter or nil
end

function DIGESTS.remove(q, name, id)
  redis.call('ZREM', q.digest_members .. name, id)      -- first: an item without a member counts for nothing
  soft('HINCRBY', q.items .. name, ':bytes', 0 - (soft('HSTRLEN', q.items .. name, id) or 0))
  soft('HDEL', q.items .. name, id)
end

-- The first that may still run, from a rank on; those that may not leave it. nil where there is none.
function DIGESTS.first(q, name, rank)
  for _ = 1, 100 do
    local first = (soft('ZRANGE', q.digest_members .. name, rank or 0, rank or 0) or {})[1]
    local found = first and read(q.task .. first, 'state')
    if not first or found and LIVE[state_of(found[1])] then return first end
    DIGESTS.remove(q, name, first)
  end
end

-- Its run has ended: the mover ends the others.
function DIGESTS.end_others(q, id)
  local name = redis.call('HGET', q.task .. id, 'into')
  if name then remind(q.prefix, 'digest/' .. q.name .. '/' .. name, 0) end
end

-- A task that was in a digest is removed.
function DIGESTS.forget(q, name, id)
  if soft('HGET', q.items .. name, ':started') == id then redis.call('HSET', q.items .. name, ':removed', 1) end
end

-- Nothing is left of it.
function DIGESTS.drop(q, name)
  local key = soft('HGET', q.items .. name, ':key')
  if key and soft('GET', q.digest .. key) == name then redis.call('UNLINK', q.digest .. key) end
  redis.call('UNLINK', q.digest_members .. name, q.items .. name)
  redis.call('ZREM', q.prefix .. 'agenda', 'digest/' .. q.name .. '/' .. name)
end

-- The first of a digest is not held for it, but due, to close it.
function DIGESTS.lead(q, id, due, now)
  local found = read(q.task .. id, 'state', 'blocked')
  if not found or found[1] ~= 'held' or found[2] ~= 'digest' then return end
  redis.call('HSET', q.task .. id, 'due_at', text(due))
  release_task(q, id, now)
end

-- The next takes the place of the first: it is due when the digest was to close.
local function hand_over(q, name, id, now)
  local heir = DIGESTS.first(q, name, 1)
  if not heir then return end
  local due = tonumber(redis.call('ZSCORE', q.due, id) or redis.call('HGET', q.task .. id, 'due_at') or '') or now
  due = is_time(due) and math.max(due, now) or now
  soft('HDEL', q.items .. name, ':judged', ':started')
  redis.call('ZADD', q.due, 'XX', 'LT', text(due), heir)  -- one that was given a due time of its own
  DIGESTS.lead(q, heir, due, now)
end

-- Whether the task with all items was claimed, and no handler of it has begun as far as its worker has told.
function DIGESTS.is_unbegun(q, id)
  local found = read(q.task .. id, 'state', 'begun')
  return found and not found[2] and LIVE[state_of(found[1])]
end

-- What was claimed in vain has its own payload again.
local function take_own(q, name, id)
  local own = soft('HGET', q.items .. name, ':own')
  if own then redis.call('HSET', q.task .. id, 'payload', own) end
  redis.call('HDEL', q.task .. id, 'frozen')
end

-- A claim of all its items comes to nothing, for no handler has begun: its tasks are judged anew before it runs. Answers
-- whether it was such a claim; a stop half-way may have taken a part of it back.
function DIGESTS.take_back(q, id)
  local name = redis.call('HGET', q.task .. id, 'into')
  if not name or not soft('ZSCORE', q.digest_members .. name, id) then return false end
  local starter = DIGESTS.started_by(q, name)
  if starter and (starter ~= id or not DIGESTS.is_unbegun(q, id)) then return false end
  redis.call('HDEL', q.items .. name, ':judged')
  take_own(q, name, id)
  redis.call('HDEL', q.items .. name, ':started', ':own')
  return true
end

-- Take a task and its item out of its digest, before it ends or goes its own way. Of a digest whose handler has begun the
-- items are in its run, and the mover takes its tasks out when they have ended. A dead letter keeps them, too.
function DIGESTS.leave(q, id, now, is_dead)
  local name = redis.call('HGET', q.task .. id, 'into')
  if not name or not soft('ZSCORE', q.digest_members .. name, id) then return end
  local starter = DIGESTS.started_by(q, name)
  if starter and (is_dead or starter ~= id or not DIGESTS.is_unbegun(q, id)) then return end
  if starter then take_own(q, name, id) end
  if DIGESTS.first(q, name) == id then hand_over(q, name, id, now) end   -- first: a stop half-way repeats it
  DIGESTS.remove(q, name, id)
  if redis.call('ZCARD', q.digest_members .. name) == 0 then DIGESTS.drop(q, name) end
end

-- The one into which others are merged; nil where that is the task itself, or it is in no digest.
function DIGESTS.opener_of(q, id)
  local found = read(q.task .. id, 'into', 'reason')
  if not found then return nil end
  local first = found[1] and soft('ZSCORE', q.digest_members .. found[1], id) and soft('ZRANGE', q.digest_members .. found[1], 0, 0)[1]
  if first then return first ~= id and first or nil end
  return string.match(found[2] or '', '^merged into (.*)$')
end

-- {"items": [...]}: the payload of a digest, in the order in which its tasks came, and its name; of a task that is not the
-- first of one its own item alone. Whose start-by has passed, of which the end of its hold tells, is left out.
function DIGESTS.payload(q, id, f, now)
  local items, ids = {}, f.into and soft('ZRANGE', q.digest_members .. f.into, 0, -1) or {}
  if ids[1] ~= id then ids = {} end
  weigh(#ids / 4)
  for at = 1, #ids, 500 do
    local last = math.min(at + 499, #ids)
    local page = redis.call('HMGET', q.items .. f.into, unpack(ids, at, last))
    local ends = redis.call('ZMSCORE', q.held, unpack(ids, at, last))
    for i = 1, last - at + 1 do
      local past = tonumber(ends[i] or redis.call('HGET', q.task .. ids[at + i - 1], 'expires_at') or '') or NO_END
      if past > now then items[#items + 1] = page[i] or nil
      else
        DIGESTS.leave(q, ids[at + i - 1], now)
        release_task(q, ids[at + i - 1], now)           -- promote ends it
      end
    end
  end
  if #items == 0 then items[1] = as_json(f.payload or 'null') end
  return '{"items":[' .. table.concat(items, ',') .. ']}', ids[1] and f.into or false
end

-- Before it runs: from then on its items are in that run, and the mover ends the others. own: so that it can leave unbegun.
function DIGESTS.start(q, id, name, now)
  if not name then return DIGESTS.leave(q, id, now) end
  redis.call('HSET', q.items .. name, ':started', id, ':own', redis.call('HGET', q.task .. id, 'payload') or '')
  remind(q.prefix, 'digest/' .. q.name .. '/' .. name, 0)
end

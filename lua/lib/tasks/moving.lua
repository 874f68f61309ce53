-- moving: take a task to another queue, and leave a note of it in the old one: a skipped task of the same id that says where
-- the task is, so that a producer that repeats its call for the old queue makes no second task. Each write leaves a task
-- that one queue has and can run; if it stops half-way, the same again goes on.
--
-- USES  check, clock, keys, safe, hash, endings, events, streams, index, holds

local KEPT = {'type', 'created_at', 'request', 'submitted'}   -- of the note: what enqueue compares, and when it was created
local LONGEST = 128                                     -- bytes of one of them
local YEAR = 31536000000

local function has_others(found)
  local bound = found.bound or ''
  return found.conditions or found.schedule or string.find(bound, '[tpdc]')
end

-- The fields of a task that moving reads, by name. nil and why: see hash.read.
local function read(q, id)
  local names = {'state', 'entry', 'due_at', 'bound', 'conditions', 'schedule', 'blocked', 'tags', 'key', 'reason',
    'retention_ms', unpack(KEPT)}
  local values, why = hash.read(q.task .. id, unpack(names))
  if not values then return nil, why end
  local found = {}
  for i, name in ipairs(names) do found[name] = values[i] or nil end
  found.state = hash.state_of(found.state)
  return found
end

-- A task that waits becomes a scheduled one of its own queue first. Answers its due time.
local function schedule(q, id, found, now)
  local due = redis.call('ZSCORE', q.due, id)
  if found.state == 'scheduled' then return due or clock.text(now) end
  due = clock.text(check.whole(found.due_at or '', 1e11, 4e12) or now)
  redis.call('ZADD', q.due, due, id)
  redis.call('HSET', q.task .. id, 'state', 'scheduled')
  if found.state == 'ready' then
    streams.remove(q, found.entry)
    redis.call('HDEL', q.task .. id, 'entry')
  else
    holds.leave(q, id, found.blocked)
  end
  return due
end

-- How long the note is kept: until the task's retention has passed after its due time, for a dead one as long as that is
-- kept; for a minute at least, and for a year at most.
local function note_ends(place, score, found, now)
  local keep = endings.KEEP_LINKED
  if place == 'due' then
    local retention = check.number_or('retention_ms', found.retention_ms, endings.KEEP_FINISHED) or endings.KEEP_FINISHED
    keep = math.max(retention, keep)
  end
  return clock.text(math.floor(math.min(math.max(tonumber(score), now) + keep, now + YEAR)))
end

local function write_note(q, to, id, found, now)
  local told = {'state', 'skipped', 'reason', 'moved to ' .. to.name, 'finished_at', clock.text(now)}
  for _, field in ipairs(KEPT) do
    local value = found[field]
    if value and #value <= LONGEST then told[#told + 1], told[#told + 2] = field, value end
  end
  index.add(q, id)                                      -- a subject alone: by its tags and its key only the task is found
  redis.call('HSET', q.task .. id, unpack(told))
  events.tell(q, 'moved', id, 'to', to.name)
end

-- Take what is left of a task out of the queue that it was in, but for the note. place: nil if it is in none there.
local function leave(q, to, id, place, found)
  if redis.call('EXISTS', q.outcome .. id) == 1 then redis.call('RENAME', q.outcome .. id, to.outcome .. id) end
  index.leave(q, id, index.names('', found.tags, found.key))
  if not hash.FINISHED[found.state] then safe.call('ZREM', to.finished, id) end   -- where a note of it gave way
  redis.call('ZREM', q[place], id)                      -- last: as long as it is there, the same again goes on
end

-- What an earlier call that moved a task, or stopped half-way, left to be done. Answers moved, or nil: there was no such call.
-- is_noted: the queue has the note already.
local function go_on(q, to, id, is_noted, now)
  local there = read(to, id)
  if there and not is_noted and safe.call('ZSCORE', q.finished, id) then write_note(q, to, id, there, now) end
  for _, place in ipairs(there and {'due', 'dead'} or {}) do
    if safe.call('ZSCORE', q[place], id) then leave(q, to, id, place, there) end
  end
  return (there or is_noted) and 'moved'
end

-- Answers moved, existing (the other queue has the id), linked (it has conditions, others come after it, or it is a schedule's),
-- running, finished or missing.
function moving.task(q, to, id, now)
  if not keys.is_id(id) then return 'missing' end
  local found, problem = read(q, id)
  if problem == 'wrong type' then return 'missing' end
  local gone_to = found and hash.moved_to(found.state, found.reason)
  if not found or gone_to == to.name then return go_on(q, to, id, gone_to, now) or 'missing' end
  local state = found.state
  if state == 'running' or hash.FINISHED[state] then return state == 'running' and state or 'finished' end
  local there, why = read(to, id)
  if why ~= 'missing' and not (there and hash.moved_to(there.state, there.reason)) then return 'existing' end
  if not hash.LIVE[state] and state ~= 'dead' or has_others(found) then return 'linked' end
  local place = state == 'dead' and 'dead' or 'due'
  local score = place == 'due' and schedule(q, id, found, now) or redis.call('ZSCORE', q.dead, id) or clock.text(now)
  index.add(to, id, found.tags, found.key)
  redis.call('ZADD', to[place], score, id)
  redis.call('ZADD', q.finished, note_ends(place, score, found, now), id)
  redis.call('RENAME', q.task .. id, to.task .. id)
  write_note(q, to, id, found, now)
  if state ~= 'dead' then found.state = 'scheduled' end
  leave(q, to, id, place, found)
  return 'moved'
end

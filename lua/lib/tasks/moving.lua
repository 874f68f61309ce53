-- moving: take a task to another queue. Each write leaves a task that one queue has and can run; if it stops half-way, the same
-- again goes on.
--
-- USES  check, clock, keys, safe, hash, events, streams, index, holds

local function has_others(found)
  local bound = found[4] or ''
  return found[5] or found[6] or string.find(bound, '[tpdc]')
end

-- A task that waits becomes a scheduled one of its own queue first. Answers its due time.
local function schedule(q, id, state, found, now)
  local due = redis.call('ZSCORE', q.due, id)
  if state == 'scheduled' then return due or clock.text(now) end
  due = clock.text(check.whole(found[3] or '', 1e11, 4e12) or now)
  redis.call('ZADD', q.due, due, id)
  redis.call('HSET', q.task .. id, 'state', 'scheduled')
  if state == 'ready' then
    streams.remove(q, found[2])
    redis.call('HDEL', q.task .. id, 'entry')
  else
    holds.leave(q, id, found[7] or nil)
  end
  return due
end

-- Take what is left of a task out of the queue that it was in.
local function leave(q, to, id, place, tags, key)
  if redis.call('EXISTS', q.outcome .. id) == 1 then redis.call('RENAME', q.outcome .. id, to.outcome .. id) end
  index.remove(q, id, tags, key)
  redis.call('ZREM', q[place], id)                      -- last: as long as it is there, the same again goes on
end

-- Answers moved, existing (the other queue has the id), linked (it has conditions, others come after it, or it is a schedule's),
-- running, finished or missing.
function moving.task(q, to, id, now)
  if not keys.is_id(id) then return 'missing' end
  local found = hash.read(q.task .. id, 'state', 'entry', 'due_at', 'bound', 'conditions', 'schedule', 'blocked', 'tags', 'key')
  if not found then                                     -- an earlier call may have done it, or stopped
    local there = hash.read(to.task .. id, 'tags', 'key')
    for _, place in ipairs(there and {'due', 'dead'} or {}) do
      if safe.call('ZSCORE', q[place], id) then leave(q, to, id, place, there[1], there[2]) end
    end
    return there and 'moved' or 'missing'
  end
  local state = hash.state_of(found[1])
  if state == 'running' or hash.FINISHED[state] then return state == 'running' and state or 'finished' end
  if redis.call('EXISTS', to.task .. id) == 1 then return 'existing' end
  if not hash.LIVE[state] and state ~= 'dead' or has_others(found) then return 'linked' end
  local place = state == 'dead' and 'dead' or 'due'
  local score = place == 'due' and schedule(q, id, state, found, now) or redis.call('ZSCORE', q.dead, id)
  index.add(to, id, found[8], found[9])
  redis.call('ZADD', to[place], score or clock.text(now), id)
  redis.call('RENAME', q.task .. id, to.task .. id)
  leave(q, to, id, place, found[8], found[9])
  events.tell(q, 'moved', id, 'to', to.name)
  return 'moved'
end

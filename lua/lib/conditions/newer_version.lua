-- newer_version: tasks that ask for what only a newer redsched knows. This version neither runs nor loses them: it looks
-- at each again from time to time, until a version that knows decides.
--
-- USES  clock, check, events

-- ms until the next look: as long as it has waited, between these two
newer_version.LOOK_AGAIN = 5000
local LOOK_LATEST = 60000

-- Whether a script made the task. Then some version of redsched has accepted its fields; a raw producer's task would be
-- malformed.
function newer_version.is_made(q, id) return redis.call('HEXISTS', q.task .. id, 'created_at') == 1 end

-- Put a task back into due, then write its hash; more fields may follow. If it was in another place than due, the caller
-- takes it from there.
function newer_version.postpone(q, id, now, ...)
  local key = q.task .. id
  local since = redis.call('HGET', key, 'postponed')
  local first = check.whole(since or '', 1e11, 4e12) or now
  local due = clock.text(now + math.max(newer_version.LOOK_AGAIN, math.min(now - first, LOOK_LATEST)))
  redis.call('ZADD', q.due, due, id)
  redis.call('HSET', key, 'postponed', clock.text(first), ...)
  if not since then events.tell(q, 'postponed', id, 'reason', 'newer', 'due', due) end
end

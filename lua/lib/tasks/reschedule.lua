-- reschedule: give a task that waits another due time.
--
-- USES  clock, keys, hash, events, streams, holds

-- due: ms; or nil, and then by (ms, may be negative) is added to its own due time. was: what that was when the caller looked,
-- or nil: it is not moved twice, nor if somebody else moved it meanwhile. Answers rescheduled, changed, running, finished or
-- missing.
function reschedule.task(q, id, due, by, was)
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'entry', 'due_at', 'blocked')
  local state = found and hash.state_of(found[1])
  if not found then return 'missing' end
  if state ~= 'scheduled' and state ~= 'held' and state ~= 'ready' then return state == 'running' and state or 'finished' end
  if not due then
    local now_due = tonumber(state == 'scheduled' and redis.call('ZSCORE', q.due, id) or found[3] or '')
    if not now_due then return 'changed' end
    now_due = math.floor(now_due)
    if was and now_due ~= was then return now_due == was + by and 'rescheduled' or 'changed' end
    due = math.max(1e11, math.min(now_due + by, 4e12))
  end
  redis.call('ZADD', q.due, due, id)
  if state == 'held' then
    redis.call('HSET', q.task .. id, 'state', 'scheduled', 'blocked', '', 'delay_ms', '')
    redis.call('HDEL', q.task .. id, 'delay_ms')
    holds.leave(q, id, found[4] or nil)
  else
    redis.call('HSET', q.task .. id, 'state', 'scheduled')
  end
  if state == 'ready' then streams.remove(q, found[2]) end
  events.tell(q, 'rescheduled', id, 'due', clock.text(due))
  return 'rescheduled'
end

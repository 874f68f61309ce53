-- isolation: if a task's own fields or keys make a step fail, the task is set aside, so that it holds up no other.
--
-- USES  keys, safe, errors, events, stats, endings

-- Answers the cause (see errors.cause). Only if the cause is the task's own, anything is written: the task becomes dead as
-- malformed, or goes into the quarantine if its hash cannot be read or it cannot be ended. The caller takes it from its old
-- place.
function isolation.set_aside(q, id, now, trouble)
  local fault = errors.cause(q, trouble)
  if fault ~= 'own' then return fault end
  local found = keys.is_id(id) and safe.call('HGET', q.task .. id, 'type')
  if not found then
    endings.quarantine(q, id, now, 'malformed')
    return fault
  end
  local ok = pcall(endings.dead, q, id, now, 'malformed')
  if not ok and redis.call('HGET', q.task .. id, 'state') ~= 'dead' then endings.quarantine(q, id, now, 'malformed') end
  return fault
end

-- The same for a caller that can leave out nothing but the task: any other cause is raised as an error.
function isolation.set_aside_or_raise(q, id, now, trouble)
  if isolation.set_aside(q, id, now, trouble) ~= 'own' then error(trouble, 0) end
end

-- Tell once a minute that tasks of a queue are left for a caller with more rights.
function isolation.tell_denied(q, id, now)
  if stats.count(q, now, 'denied', 1) then events.tell(q, 'denied', keys.is_id(id) and id or '') end
end

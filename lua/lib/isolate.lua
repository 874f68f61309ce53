-- isolate: a task whose own fields or keys make a step fail is set aside, so that it holds up nobody.

-- Answers whose fault it was. Only where it is the task's own anything is written: it is dead as malformed, or in the
-- quarantine where its hash cannot be read or it cannot be ended. The caller takes it from its old place.
local function set_aside(q, id, now, trouble)
  local fault = whose(q, trouble)
  if fault ~= 'own' then return fault end
  local found = is_id(id) and soft('HGET', q.task .. id, 'type')
  if not found then
    quarantine(q, id, now, 'malformed')
    return fault
  end
  local ok = pcall(bury, q, id, now, 'malformed')
  if not ok and redis.call('HGET', q.task .. id, 'state') ~= 'dead' then quarantine(q, id, now, 'malformed') end
  return fault
end

-- The same where nobody but the task can be left out: any other fault is raised.
local function set_aside_or_raise(q, id, now, trouble)
  if set_aside(q, id, now, trouble) ~= 'own' then error(trouble, 0) end
end

-- Say once a minute that tasks of a queue are left for a caller with more rights.
local function tell_denied(q, id, now)
  if count(q, now, 'denied', 1) then event(q, 'denied', is_id(id) and id or '') end
end

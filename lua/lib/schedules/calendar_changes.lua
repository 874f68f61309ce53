-- calendar_changes: the slots that a changed calendar adds to a schedule before a mover looks at it.
--
-- The stored next slot of a schedule was planned by the calendars of then. The field `:since` of the calendars says when they
-- were changed first after all next slots were planned. Slots after that time, and before the stored one, may be new.
--
-- USES  clock, check, safe, schedules

calendar_changes.SINCE = ':since'                       -- no calendar's name
calendar_changes.FIELDS = {'spec', 'slot', 'former', 'changed_at', 'looked_at'}   -- of a schedule, for search_from

-- Whether the times of a spec, as JSON, depend on calendars.
function calendar_changes.concern(spec)
  return string.find(spec, '"calendars"', 1, true) ~= nil or string.find(spec, '"holidays"', 1, true) ~= nil
end

-- When the calendars were changed first since all next slots were planned, ms; nil if they were not.
function calendar_changes.first(prefix)
  return check.whole(safe.call('HGET', prefix .. 'calendars', calendar_changes.SINCE) or '', 0, 1e15)
end

-- The time, as text, from which on the next slot is to be searched for in place of the stored one; nil: the stored one stays.
-- f: the fields of the schedule. In a chain each slot follows from the one before it, so that none is added.
function calendar_changes.search_from(f, changed)
  local slot, spec = check.whole(f.slot or '', 0, 1e15), f.spec or ''
  if not changed or not slot or f.former or not calendar_changes.concern(spec) then return nil end
  if string.find(spec, '"random"%s*:') or string.find(spec, '"after_completion"%s*:') then return nil end
  local defined, looked = check.whole(f.changed_at or '', 0, 1e15) or 0, check.whole(f.looked_at or '', 0, 1e15) or 0
  local from = math.max(changed, defined, looked) + 1
  return slot > from and clock.text(from) or nil
end

-- Note that all slots up to now are made or counted. A decision that did neither may not have known a change of just now.
function calendar_changes.note_look(s, decided, now)
  if calendar_changes.concern(s.f.spec or '') and (decided or not calendar_changes.first(s.prefix)) then
    schedules.set(s, 'looked_at', clock.text(now))
  end
end

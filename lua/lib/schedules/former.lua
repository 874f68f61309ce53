-- former: earlier definitions of a schedule with slots that no mover has looked at. These slots are made or counted first.
--
-- The field `former` is a JSON list of {since, until, spec}, oldest first: the slots of that spec after since, up to and with
-- until. As long as there is one, the field `slot` is the next slot of the first.
--
-- USES  clock, check, schedules

local MOST, LONGEST = 10, 131072                        -- definitions; bytes

local TIMES = {'cron', 'every', 'after_completion', 'random', 'calendar', 'rrule', 'at', 'time_zone', 'dialect',
  'dst_gap', 'dst_fold',
  'start', 'end', 'jitter', 'exclude'}

function former.equal(a, b)
  if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
  for name, value in pairs(a) do
    if not former.equal(value, b[name]) then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

-- Whether two specs name the same slots; they may differ in their policies and their description.
function former.same_times(one, other)
  for _, name in ipairs(TIMES) do
    if not former.equal(one[name], other[name]) then return false end
  end
  return true
end

local function list_of(s)
  local listed = schedules.decoded(s.f.former)
  return type(listed[1]) == 'table' and listed or {}
end

local function write_list(s, listed)
  schedules.set(s, 'former', #listed > 0 and cjson.encode(listed) or nil)
end

-- Keep the definition that is replaced now, if one of its slots may have come that no mover looked at.
function former.keep(q, s, now)
  local listed, slot, since = list_of(s), check.whole(s.f.slot or '', 0, 1e15), schedules.counter(s, 'changed_at')
  if #listed == 0 and slot and slot > now or #listed == 0 and not slot and (s.spec.after_completion or since >= now) then
    return false
  end
  listed[#listed + 1] = {since = clock.text(since), ['until'] = clock.text(now), spec = s.f.spec or ''}
  local size = 0
  for _, one in ipairs(listed) do size = size + #tostring(one.spec or '') end
  while #listed > MOST or size > LONGEST do
    size = size - #tostring(table.remove(listed, 1).spec or '')
    schedules.tell_slots(q, s, 'missed', 1, 'changed too often to count all', s.f.slot)
    schedules.set(s, 'slot')
  end
  write_list(s, listed)
  return #listed > 0
end

-- Forget those whose last slot is not after this time, ms.
function former.forget(s, till)
  local left = {}
  for _, one in ipairs(list_of(s)) do
    if (check.whole(tostring(one['until']), 0, 1e15) or 0) > till then left[#left + 1] = one end
  end
  write_list(s, left)
end

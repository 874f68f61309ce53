-- former: earlier definitions of a schedule with slots that no mover has looked at. They are made or counted first.
--
-- The field `former` is a JSON list of {since, until, spec}, oldest first: the slots of that spec after since, up to and with
-- until. As long as there is one, the field `slot` is the next slot of the first.

local FORMER = {most = 10, bytes = 131072}

FORMER.times = {'cron', 'every', 'after_completion', 'random', 'calendar', 'rrule', 'at', 'time_zone', 'dialect', 'dst_gap', 'dst_fold',
  'start', 'end', 'jitter', 'exclude'}

function FORMER.equal(a, b)
  if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
  for name, value in pairs(a) do
    if not FORMER.equal(value, b[name]) then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

-- Whether two specs name the same slots; they may differ in their policies and their description.
function FORMER.same_times(one, other)
  for _, name in ipairs(FORMER.times) do
    if not FORMER.equal(one[name], other[name]) then return false end
  end
  return true
end

function FORMER.list(s)
  local listed = decoded(s.f.former)
  return type(listed[1]) == 'table' and listed or {}
end

function FORMER.write(s, listed)
  set_field(s, 'former', #listed > 0 and cjson.encode(listed) or nil)
end

-- Keep the definition that is replaced now, where one of its slots may have come that nobody looked at.
function FORMER.keep(q, s, now)
  local listed, slot, since = FORMER.list(s), whole(s.f.slot or '', 0, 1e15), counted(s, 'changed_at')
  if #listed == 0 and slot and slot > now or #listed == 0 and not slot and (s.spec.after_completion or since >= now) then return false end
  listed[#listed + 1] = {since = text(since), ['until'] = text(now), spec = s.f.spec or ''}
  local size = 0
  for _, one in ipairs(listed) do size = size + #tostring(one.spec or '') end
  while #listed > FORMER.most or size > FORMER.bytes do
    size = size - #tostring(table.remove(listed, 1).spec or '')
    tell_slots(q, s, 'missed', 1, 'changed too often to count all', s.f.slot)
    set_field(s, 'slot')
  end
  FORMER.write(s, listed)
  return #listed > 0
end

-- Forget those whose last slot is not after this time, ms.
function FORMER.forget(s, till)
  local left = {}
  for _, one in ipairs(FORMER.list(s)) do
    if (whole(tostring(one['until']), 0, 1e15) or 0) > till then left[#left + 1] = one end
  end
  FORMER.write(s, left)
end

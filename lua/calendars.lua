-- calendars: the named lists of dates that schedules leave out.
--
-- KEYS   schedules  zset  {namespace}:schedules
-- ARGV   none
-- REPLY  {name, dates, ...}  dates: JSON
-- FLAGS  no-writes
-- USES   safe, schedules

local flat, reply = safe.call('HGETALL', schedules.prefix_of(KEYS[1]) .. 'calendars') or {}, {}
for i = 1, #flat, 2 do
  if string.sub(flat[i], 1, 1) ~= ':' then              -- no name: a field that the scripts keep there
    reply[#reply + 1] = flat[i]
    reply[#reply + 1] = flat[i + 1]
  end
end
return reply

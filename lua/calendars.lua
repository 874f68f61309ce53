-- calendars: the named lists of dates that schedules leave out.
--
-- KEYS   schedules  zset  {namespace}:schedules
-- ARGV   none
-- REPLY  {name, dates, ...}  dates: JSON
-- FLAGS  no-writes
-- USES   safe, schedules

local flat, reply = safe.call('HGETALL', schedules.prefix_of(KEYS[1]) .. 'calendars') or {}, {}
for i = 1, #flat, 2 do
  if flat[i] ~= schedules.CHANGES and flat[i] ~= schedules.PLANNED then
    reply[#reply + 1] = flat[i]
    reply[#reply + 1] = flat[i + 1]
  end
end
return reply

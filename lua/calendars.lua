-- calendars: the named lists of dates that schedules leave out.
--
-- KEYS   schedules  zset  {namespace}:schedules
-- ARGV   none
-- REPLY  {name, dates, ...}  dates: JSON
-- FLAGS  no-writes
-- USES   read, schedule

local flat, reply = soft('HGETALL', prefix_of(KEYS[1]) .. 'calendars') or {}, {}
for i = 1, #flat, 2 do
  if flat[i] ~= CHANGES and flat[i] ~= REPLANNED then
    reply[#reply + 1] = flat[i]
    reply[#reply + 1] = flat[i + 1]
  end
end
return reply

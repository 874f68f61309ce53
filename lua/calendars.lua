-- calendars: the named lists of dates that schedules leave out.
--
-- KEYS   schedules  zset  {namespace}:schedules
-- ARGV   none
-- REPLY  {name, dates, ...}  dates: JSON
-- FLAGS  no-writes
-- USES   schedule

return redis.call('HGETALL', prefix_of(KEYS[1]) .. 'calendars')

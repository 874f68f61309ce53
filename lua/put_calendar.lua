-- put_calendar: keep a named list of dates that schedules leave out, or remove it.
--
-- KEYS   schedules  zset    {namespace}:schedules
-- ARGV   name       string  1..100 of [A-Za-z0-9._@+-]
-- ARGV   dates      string  JSON: the dates, as YYYY-MM-DD or *-MM-DD (each year); '' removes the calendar
-- ARGV   now        int     may be missing; 0: the server's clock; a virtual clock's ms where the deployment allows it
-- REPLY  word               put | unchanged | dropped | missing; error RS_INVALID 1 <field> <why>
-- FLAGS  none
-- USES   clock, keys, check, schedules, calendar_changes

local prefix, name, dates = schedules.prefix_of(KEYS[1]), ARGV[1], ARGV[2]
if not keys.is_name(name) then return redis.error_reply('RS_INVALID 1 name must be 1 to 100 of [A-Za-z0-9._@+-]') end
if #dates > 262144 then return redis.error_reply('RS_INVALID 1 dates are more than 256 KiB') end
if dates ~= '' and string.sub(dates, 1, 1) ~= '[' or not pcall(cjson.decode, dates ~= '' and dates or '[]') then
  return redis.error_reply('RS_INVALID 1 dates must be a JSON list')
end
local before = redis.call('HGET', prefix .. 'calendars', name)
if dates == '' and not before then return 'missing' end
if dates == before then return 'unchanged' end
local since = calendar_changes.first(prefix) or clock.now(prefix, ARGV[3])
local changes = check.whole(redis.call('HGET', prefix .. 'calendars', schedules.CHANGES) or '', 0, 1e14) or 0
redis.call('HSET', prefix .. 'calendars', name, dates, schedules.CHANGES, clock.text(changes + 1),
  calendar_changes.SINCE, clock.text(since))
if dates == '' then redis.call('HDEL', prefix .. 'calendars', name) end
return dates == '' and 'dropped' or 'put'

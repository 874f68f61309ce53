-- pause_schedule: a schedule makes no task until it is resumed, or until a time.
--
-- KEYS   schedules  zset    {namespace}:schedules
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id         string  the schedule
-- ARGV   reason     string  at most 200 bytes are kept
-- ARGV   until      int     ms since the epoch, after now; 0: until it is resumed
-- REPLY  word               paused (again with another reason or end, too) | missing; error RS_INVALID 1 until <why>
-- FLAGS  none
-- USES   clock, keys, check, schedules

local prefix = schedules.prefix_of(KEYS[1])
local now, till, reason = clock.now(prefix, ARGV[1]), check.whole(ARGV[4] or '', 1e11, 4e12), ARGV[3]
local s = schedules.read(prefix, ARGV[2])
if not till and (ARGV[4] or '0') ~= '0' then return redis.error_reply('RS_INVALID 1 until must be ms since the epoch, or 0') end
if till and till <= now then return redis.error_reply('RS_INVALID 1 until does not lie after now') end
if not s then return 'missing' end
schedules.pause(keys.open(prefix .. 'due:' .. schedules.queue_of(s)), s, now, reason ~= '' and reason or 'paused', till)
schedules.save(s)
return 'paused'

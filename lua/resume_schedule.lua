-- resume_schedule: a paused schedule makes tasks again, from its next slot on; one that has ended stays so.
--
-- KEYS   schedules  zset    {namespace}:schedules
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id         string  the schedule
-- REPLY  word               resumed | active (it was not paused) | missing
-- FLAGS  none
-- USES   clock, keys, check, schedules

local prefix = schedules.prefix_of(KEYS[1])
local now = clock.now(prefix, ARGV[1])
local s = schedules.read(prefix, ARGV[2])
if not s then return 'missing' end
if not s.f.paused then return 'active' end
local till = check.whole(s.f.paused_until or '', 0, 1e15) or now
-- the pause may be over though no mover has looked since
schedules.resume(keys.open(prefix .. 'due:' .. schedules.queue_of(s)), s, math.min(till, now))
schedules.save(s)
schedules.look_at(s, s.f.ended and #s.buffer == 0 and schedules.NEVER or 0)
return 'resumed'

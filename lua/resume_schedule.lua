-- resume_schedule: a paused schedule makes tasks again, from its next slot on; one that has ended stays so.
--
-- KEYS   schedules  zset    {namespace}:schedules
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id         string  the schedule
-- REPLY  word               resumed | active (it was not paused) | missing
-- FLAGS  none
-- USES   clock, keys, check, schedule, pause

local prefix = prefix_of(KEYS[1])
local now = clock(prefix, ARGV[1])
local s = read_schedule(prefix, ARGV[2])
if not s then return 'missing' end
if not s.f.paused then return 'active' end
local till = whole(s.f.paused_until or '', 0, 1e15) or now
carry_on(open(prefix .. 'due:' .. home_of(s)), s, math.min(till, now))   -- it may be over, and no mover has looked
save_schedule(s)
look_again(s, s.f.ended and #s.buffer == 0 and NEVER or 0)
return 'resumed'

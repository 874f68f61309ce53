-- resume: go on with what was paused. Tasks that it set aside are due again at their times, the earliest first.
--
-- KEYS   due   zset    {namespace}:due:<queue>
-- ARGV   now   int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   what  string  queue | type:<type> | key:<key> | all: every queue
-- REPLY  word          resumed | active (it was not paused)
-- FLAGS  none
-- USES   clock, keys, safe, events, reminders, pauses

local q, what = keys.open(KEYS[1]), ARGV[2]
local now = clock.now(q.prefix, ARGV[1])
local line = safe.call('HGET', pauses.key(q, what), what)
if not line or not pauses.is_active(line, now) then return 'active' end
reminders.add_from_start(q.prefix, pauses.reminder(q, what), 0)
redis.call('HDEL', pauses.key(q, what), what)
events.tell(q, 'resumed', what)
return 'resumed'

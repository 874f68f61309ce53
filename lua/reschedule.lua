-- reschedule: give tasks that wait another due time.
--
-- KEYS   due    zset    {namespace}:due:<queue>
-- ARGV   now    int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   when   string  ms since the epoch, 0 (now) or +ms (from now)
-- ARGV   id...  string  1..1000 ids
-- REPLY  {word...}      rescheduled | expires (its start-by lies before that time: nothing was written) | running | moved (to
--                       another queue) | finished | missing, in order
-- FLAGS  allow-oom
-- USES   clock, keys, memory, fields, reschedule

local q = keys.open(KEYS[1])
local now = clock.now(q.prefix, ARGV[1])
local due = fields.due_time(ARGV[2], now)
if not due then return redis.error_reply('RS_INVALID 1 due must be ms since the epoch, 0 or +ms') end
if due == 0 then due = now end
memory.drain(q)

local answers = {}
for i = 3, #ARGV do answers[i - 2] = reschedule.task(q, ARGV[i], due, now) end
return answers

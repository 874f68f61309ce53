-- shift: move the due times of tasks that wait, each by as much from its own; the start-by moves with it. The same call again
-- moves none twice.
--
-- KEYS   due        zset    {namespace}:due:<queue>
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   by         string  +ms or -ms
-- ARGV   operation  string  of which change of many this is a part: no task is moved twice by one; '': of none
-- ARGV   task...    words   2 words each, 1..1000 times: its id, and its due time when the caller looked, ms; '': whatever it is
-- REPLY  {word...}          rescheduled (also: this operation did it before) | changed (its due time was another: nothing was
--                           written) | expires (its start-by would lie in the past: nothing was written) | running | moved (to
--                           another queue) | finished | missing, in order
-- FLAGS  allow-oom
-- USES   clock, keys, memory, reschedule

local q, by, operation = keys.open(KEYS[1]), ARGV[2], ARGV[3] ~= '' and ARGV[3] or nil
local now = clock.now(q.prefix, ARGV[1])
local sign, ms = string.match(by, '^([+-])(%d+)$')
by = ms and #ms <= 12 and tonumber(ms) * (sign == '-' and -1 or 1)
if not by then return redis.error_reply('RS_INVALID 1 by must be +ms or -ms') end
memory.drain(q)

local answers = {}
for i = 4, #ARGV, 2 do
  answers[i / 2 - 1] = reschedule.shift(q, ARGV[i], by, tonumber(ARGV[i + 1] or ''), now, operation)
end
return answers

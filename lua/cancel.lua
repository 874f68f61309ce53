-- cancel: tasks that have not started never will; running ones are asked to stop.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   reason  string  at most 200 bytes are kept
-- ARGV   id...   string  1..1000 ids
-- REPLY  {word...}       cancelled | requested (running: its worker is told at the next renewal) | moved (to another queue) |
--                        finished | missing, in order
-- FLAGS  allow-oom
-- USES   clock, keys, memory, cancel

local q = keys.open(KEYS[1])
local now, reason = clock.now(q.prefix, ARGV[1]), string.sub(ARGV[2], 1, 200)
if reason == '' then reason = 'cancelled' end
memory.drain(q)

local answers = {}
for i = 3, #ARGV do answers[i - 2] = cancel.task(q, ARGV[i], now, reason) end
return answers

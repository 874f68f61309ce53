-- settle: end up to 1000 claims, each as its worker says; a claim that is no longer the worker's is left alone.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, one per queue
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   claim... words   for each: number of its queue in KEYS, id, token, outcome, and three words of the outcome:
--                         complete: result (JSON or empty), '', '' ·
--                         retry: delay (ms; empty: the task's policy), error, traceback
--                         snooze: delay (ms), '', '' ·
--                         return: '' (no handler has begun: ready again at once)
--                         or unhandled (after 5 s, doubling to 60 s), '', '' ·
--                         dead: reason, error, traceback · cancelled: reason, '', ''
-- REPLY  {word...}        what the task is now: completed | scheduled | ready | expired | dead | cancelled;
--                         or already (this claim was settled before) | lost (not this worker's any more): nothing was written;
--                         error RS_INVALID <claim, from 1> outcome <why> before anything is written
-- FLAGS  allow-oom
-- USES   clock, keys, memory, settle_batch

local queues = keys.open_all(KEYS)
local now = clock.now(queues[1].prefix, ARGV[1])

local numbered, wrong = settle_batch.numbered(queues, ARGV, 2, #ARGV)
if not numbered then return wrong end
memory.drain(queues[1])
return settle_batch.apply(numbered, now, ARGV, 2, #ARGV)

-- enqueue: create 1..1000 tasks, each at most once; those that are due already are made ready at once.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, one per queue
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   task...  words   for each task: number of its queue in KEYS (from 1), id, due, number of fields n,
--                         then n times field, value. due: ms since the epoch, 0 (now) or +ms (from now).
--                         expires_at may be +ms too. Fields: lua/README.md. More than one have
--                         at most 2 MiB of payloads and 64 KiB of different conditions with 2000 facts together
-- REPLY  {status...}      created | existing (same type and payload) | conflict (another task has the id) | merged <id> (it is
--                         part of that digest) | rejected <id> (that one holds what has to be unique) | refused <id> (it comes
--                         after that one or before it, directly or not, and that one is in conflict), in order;
--                         error RS_INVALID <task, from 1> <field> <why> before anything is written
-- FLAGS  none
-- USES   clock, keys, plain_tasks, intake

local queues, now = keys.open_all(KEYS), nil
now = clock.now(queues[1].prefix, ARGV[1])
local plain = plain_tasks.enqueue(ARGV, queues, now)
return plain or intake.create(ARGV, queues, now)

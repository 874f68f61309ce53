-- claim: start up to n ready tasks for a consumer: high priority first, then normal, then low.
--
-- KEYS   due...    zset    {namespace}:due:<queue>, 1..16 queues, in the order in which they are served
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   consumer  string  who claims; unique to one process
-- ARGV   nonce     string  fresh and random for each call; the same again after a lost reply starts nothing new
-- ARGV   n         int     1..1000, most tasks to start: fewer where they take long, or their payloads come to 1 MiB; no more
--                          than 2n + 64 entries are looked at
-- ARGV   lease_ms  int     1000..3600000, how long the tasks are this consumer's unless it renews
-- ARGV   bell...   words   3 words each: number of its queue in KEYS, priority/stream id, task id; entries of a blocking read
-- REPLY  {now, more, task...}  more: 1 where there may be more to claim; each task {number of the queue, id, attempt,
--                          due_at, type, payload, timeout_ms, headers, traceparent, content_type, max_attempts, expires_at}
-- FLAGS  allow-oom
-- USES   clock, keys, memory, claim_batch

local queues, order = keys.open_all(KEYS), claim_batch.order(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
local now = clock.now(queues[1].prefix, ARGV[1])

if not claim_batch.are_bells(queues, ARGV, 6, #ARGV) then return redis.error_reply('RS_INVALID 1 bell is no entry') end
memory.drain(queues[1])
return claim_batch.start(queues, now, order, ARGV, 6, #ARGV)

-- settle_and_claim: end up to 1000 claims, then start up to n ready tasks: what settle and claim do, in one call. One that
-- asks for no task only settles.
--
-- KEYS   due...    zset    {namespace}:due:<queue>, one per queue: those that are claimed from, then the others
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   consumer  string  who claims; unique to one process
-- ARGV   nonce     string  fresh and random for each call; the same again after a lost reply starts nothing new
-- ARGV   n         int     0..1000, most tasks to start, as in claim
-- ARGV   lease_ms  int     1000..3600000, how long the tasks are this consumer's unless it renews
-- ARGV   queues    int     1..16, how many of KEYS are claimed from: the first ones, in the order in which they are served
-- ARGV   bells     int     0..1000, how many bells follow
-- ARGV   bell...   words   for each: number of its queue in KEYS, priority/stream id, task id; entries of a blocking read
-- ARGV   claim...  words   for each that ends: the seven words that settle takes
-- REPLY  {settled, claimed}  the reply of settle, then the reply of claim. later: nothing was written of this claim, tell of
--                          it in the next call. So it is with all that follow 64 which take long: tasks that something else
--                          is bound to, and outcomes other than complete;
--                          error RS_INVALID <claim, from 1> outcome <why> before anything is written
-- FLAGS  allow-oom
-- USES   clock, keys, memory, claim_batch, settle_batch

local queues, order = keys.open_all(KEYS), claim_batch.order(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
local now = clock.now(queues[1].prefix, ARGV[1])
local asked = {unpack(queues, 1, math.max(1, math.min(tonumber(ARGV[6]), 16)))}
local last_bell = 7 + 3 * tonumber(ARGV[7])

if not claim_batch.are_bells(asked, ARGV, 8, last_bell) then return redis.error_reply('RS_INVALID 1 bell is no entry') end
local numbered, wrong = settle_batch.numbered(queues, ARGV, last_bell + 1, #ARGV)
if not numbered then return wrong end
memory.drain(queues[1])
local settled = settle_batch.apply(numbered, now, ARGV, last_bell + 1, #ARGV, settle_batch.MOST_LONG)
return {settled, claim_batch.start(asked, now, order, ARGV, 8, last_bell)}

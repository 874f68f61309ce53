-- renew: extend the leases of up to 1000 running tasks.
--
-- KEYS   due...    zset    {namespace}:due:<queue>, one per queue
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   lease_ms  int     1000..3600000, how long from now the leases last
-- ARGV   claim...  words   3 words each: number of its queue in KEYS, id, token; begun/<token>: its handler has begun, and a
--                         lease that ends without an answer uses up the attempt
-- REPLY  {word...}         renewed | cancel (renewed, and asked to stop) | lost (not this worker's any more)
-- FLAGS  allow-oom
-- USES   clock, keys, hash, memory

local queues = keys.open_all(KEYS)
local now = clock.now(queues[1].prefix, ARGV[1])
local ends = clock.text(now + math.max(1000, math.min(tonumber(ARGV[2]), 3600000)))
memory.drain(queues[1])

local answers = {}
for at = 3, #ARGV, 3 do
  local q, id, token = queues[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2]
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'token', 'cancel_requested')
  local begun = string.match(token, '^begun/(.+)$')
  if found and found[1] == 'running' and found[2] == (begun or token) then
    if begun then redis.call('HSET', q.task .. id, 'begun', begun) end
    redis.call('ZADD', q.running, ends, id)
    answers[#answers + 1] = found[3] and 'cancel' or 'renewed'
  else
    answers[#answers + 1] = 'lost'
  end
end
return answers

-- reap: take back running tasks whose lease has ended; a lease that is impossibly far away is cut.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, 1..16 queues
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit    int     1..500, most tasks taken back by one call, shared by the queues
-- REPLY  {now, reaped, next_lease, ...}  two numbers per queue: tasks taken back; earliest end of a lease left (ms; -1: none)
-- FLAGS  allow-oom
-- USES   clock, keys, read, drain, finish, outcome, rerun

local queues, limit = open_all(KEYS), math.min(tonumber(ARGV[2]), 500)
local now = clock(queues[1].prefix, ARGV[1])
local LONGEST = 3600000
drain(queues[1])

-- A running task without a lease to its name: what becomes of it. Anything else only leaves the set.
local function take_back(q, id)
  local found = is_id(id) and read(q.task .. id, 'state')
  if not found or found[1] ~= 'running' then return end
  local run = read_run(q, id)
  redis.call('HDEL', q.task .. id, 'token')             -- its worker's answer comes too late from here on
  remember(q, id, now, run.attempt, 'lease', run.worker, 'lease ended without an answer')
  if run.cancel then
    call_off(q, id, now, run.retention, run.cancel)
  elseif run.expires <= now then
    expire(q, id, now, run.retention)
  else
    rerun(q, id, now, run, 'reaped', nil, 'lease')
  end
end

local reply = {now}
for _, q in ipairs(queues) do
  local ended = limit > 0 and redis.call('ZRANGE', q.running, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit) or {}
  for _, id in ipairs(ended) do
    take_back(q, id)
    redis.call('ZREM', q.running, id)
  end
  limit = limit - #ended
  for _, id in ipairs(redis.call('ZRANGE', q.running, '(' .. text(now + LONGEST), '+inf', 'BYSCORE', 'LIMIT', 0, 100)) do
    redis.call('ZADD', q.running, 'XX', now + LONGEST, id)
  end
  reply[#reply + 1] = #ended
  reply[#reply + 1] = earliest(q.running)
end
return reply

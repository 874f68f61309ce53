-- reap: take back running tasks whose lease has ended; a lease that is impossibly far away is cut.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, 1..16 queues
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit    int     1..500, most tasks taken back by one call, shared by the queues; fewer where they take long
-- REPLY  {now, reaped, next_lease, ...}  two numbers per queue: tasks taken back; earliest end of a lease left (ms; -1: none)
-- FLAGS  allow-oom
-- USES   budget, clock, keys, safe, hash, errors, memory, outcomes, endings, isolation, settle, digests

local queues, limit = keys.open_all(KEYS), math.min(tonumber(ARGV[2]), 500)
local now = clock.now(queues[1].prefix, ARGV[1])
local LONGEST = 3600000
local MOST_GIVEN_BACK = 2                               -- attempts in a row: a task that kills its worker at once has to end
memory.drain(queues[1])

-- Whether the worker said that the handler of this claim has begun. The token is missing if an earlier call stopped
-- half-way.
local function has_begun(token, begun, attempt)
  return begun and (begun == token or not token and string.match(begun, '^%d+') == clock.text(attempt))
end

-- Take back a running task whose lease has ended. Any other id only leaves the set.
local function take_back(q, id)
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'token', 'begun')
  if not found or found[1] ~= 'running' then return end
  local run = settle.read_run(q, id)
  -- how often in a row that happened after its handler had begun, and before
  local crashed, given_back = string.match(run.crashes or '', '^(%d%d?%d?%d?) (%d)$')
  local attempt, delay = run.attempt, 0
  crashed, given_back = tonumber(crashed or 0), tonumber(given_back or 0)
  local begun = has_begun(found[2], found[3], attempt)
  local counts = begun or given_back >= MOST_GIVEN_BACK
  redis.call('HDEL', q.task .. id, 'token')             -- its worker's answer comes too late from here on
  if counts then
    crashed, given_back = math.min(crashed + 1, 9999), begun and 0 or given_back
    if crashed > 1 then delay = nil end                 -- the delay of its policy: the worker's end is no accident
    outcomes.add_attempt(q, id, now, attempt, 'lease', run.worker, 'lease ended without an answer')
  else
    given_back, attempt = given_back + 1, math.max(attempt - 1, 0)
    run.attempt = attempt
  end
  if run.cancel then
    endings.cancel(q, id, now, run.retention, run.cancel, 'attempt', clock.text(attempt))
  elseif run.expires <= now then
    endings.expire(q, id, now, run.retention, nil, 'attempt', clock.text(attempt))
  else
    if not begun and run.asked then digests.take_back(q, id) end
    settle.next_attempt(q, id, now, run, 'reaped', delay, 'lease', 'attempt', clock.text(attempt), 'crashes',
      crashed .. ' ' .. given_back)
  end
end

local reply = {now}
for turn, q in ipairs(budget.in_turn(queues, now)) do
  local is_skipped = budget.share(#queues - turn + 1) or limit <= 0
  local ended = is_skipped and {} or redis.call('ZRANGE', q.running, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  q.reaped = 0
  errors.for_each(#ended, 1, function(i)
    if i > 1 and budget.is_spent() then return true end
    budget.spend(1)
    take_back(q, ended[i])
    redis.call('ZREM', q.running, ended[i])
    q.reaped = q.reaped + 1
  end, function(i, trouble)
    isolation.set_aside_or_raise(q, ended[i], now, trouble)
    redis.call('ZREM', q.running, ended[i])
    q.reaped = q.reaped + 1
  end)
  limit = limit - q.reaped
  for _, id in ipairs(redis.call('ZRANGE', q.running, '(' .. clock.text(now + LONGEST), '+inf', 'BYSCORE', 'LIMIT', 0, 100)) do
    redis.call('ZADD', q.running, 'XX', now + LONGEST, id)
  end
end
for _, q in ipairs(queues) do
  reply[#reply + 1] = q.reaped
  reply[#reply + 1] = safe.earliest(q.running)
end
return reply

-- reap: take back running tasks whose lease has ended; a lease that is impossibly far away is cut.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, 1..16 queues
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit    int     1..500, most tasks taken back by one call, shared by the queues; fewer where they take long
-- REPLY  {now, reaped, next_lease, ...}  two numbers per queue: tasks taken back; earliest end of a lease left (ms; -1: none)
-- FLAGS  allow-oom
-- USES   budget, clock, keys, read, trouble, drain, digest, finish, isolate, outcome, rerun

local queues, limit = open_all(KEYS), math.min(tonumber(ARGV[2]), 500)
local now = clock(queues[1].prefix, ARGV[1])
local LONGEST = 3600000
local MOST_GIVEN_BACK = 2                               -- attempts in a row: a task that kills its worker at once has to end
drain(queues[1])

-- Whether the worker told that the handler of this claim has begun. A call that stopped half-way has taken the token.
local function has_begun(token, begun, attempt)
  return begun and (begun == token or not token and string.match(begun, '^%d+') == text(attempt))
end

-- A running task without a lease to its name: what becomes of it. Anything else only leaves the set.
local function take_back(q, id)
  local found = is_id(id) and read(q.task .. id, 'state', 'token', 'begun')
  if not found or found[1] ~= 'running' then return end
  local run = read_run(q, id)
  -- how often in a row that happened after its handler had begun, and before
  local crashed, given_back = string.match(run.crashes or '', '^(%d%d?%d?%d?) (%d)$')
  local attempt, delay = run.attempt, 0
  crashed, given_back = tonumber(crashed or 0), tonumber(given_back or 0)
  local begun = has_begun(found[2], found[3], attempt)
  local counts = begun or given_back >= MOST_GIVEN_BACK
  redis.call('HDEL', q.task .. id, 'token')             -- its worker's answer comes too late from here on
  if counts then
    crashed, given_back = math.min(crashed + 1, 9999), begun and 0 or given_back
    if crashed > 1 then delay = nil end                 -- its policy's: the worker's end is no accident
    remember(q, id, now, attempt, 'lease', run.worker, 'lease ended without an answer')
  else
    given_back, attempt = given_back + 1, math.max(attempt - 1, 0)
    run.attempt = attempt
  end
  if run.cancel then
    call_off(q, id, now, run.retention, run.cancel, 'attempt', text(attempt))
  elseif run.expires <= now then
    expire(q, id, now, run.retention, nil, 'attempt', text(attempt))
  else
    if not begun and run.asked then DIGESTS.take_back(q, id) end
    rerun(q, id, now, run, 'reaped', delay, 'lease', 'attempt', text(attempt), 'crashes', crashed .. ' ' .. given_back)
  end
end

local reply = {now}
for turn, q in ipairs(SHARE.in_turn(queues, now)) do
  local is_skipped = SHARE.give(#queues - turn + 1) or limit <= 0
  local ended = is_skipped and {} or redis.call('ZRANGE', q.running, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  q.reaped = 0
  for_each(#ended, 1, function(i)
    if i > 1 and is_over() then return true end
    weigh(1)
    take_back(q, ended[i])
    redis.call('ZREM', q.running, ended[i])
    q.reaped = q.reaped + 1
  end, function(i, trouble)
    set_aside_or_raise(q, ended[i], now, trouble)
    redis.call('ZREM', q.running, ended[i])
    q.reaped = q.reaped + 1
  end)
  limit = limit - q.reaped
  for _, id in ipairs(redis.call('ZRANGE', q.running, '(' .. text(now + LONGEST), '+inf', 'BYSCORE', 'LIMIT', 0, 100)) do
    redis.call('ZADD', q.running, 'XX', now + LONGEST, id)
  end
end
for _, q in ipairs(queues) do
  reply[#reply + 1] = q.reaped
  reply[#reply + 1] = earliest(q.running)
end
return reply

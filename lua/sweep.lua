-- sweep: remove finished and dead tasks whose retention has ended, the oldest beyond a queue's caps (see limit), and consumers
-- that are gone. What goes by a cap is counted and told of; a finished id stays for ten minutes at least. Then note when each
-- queue has something to remove again, and forget those that are empty for a day.
--
-- KEYS   due...  zset  {namespace}:due:<queue>, 1..16 queues
-- ARGV   now     int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit   int   1..500, most ids looked at in each set; a call ends sooner where they take long
-- REPLY  {removed, more}  tasks removed; 1 where there may be more to remove
-- FLAGS  allow-oom
-- USES   budget, clock, keys, check, hash, errors, caps, memory, streams, sweep, endings

local queues, limit = keys.open_all(KEYS), math.min(tonumber(ARGV[2]), 500)
local now = clock.now(queues[1].prefix, ARGV[1])
local removed, more = 0, 0
local A_PAGE, DEAD = 128, {dead = true}
memory.drain(queues[1])
-- ends: the states that may be removed. young: how many at the head of the set are too young for its cap. Answers how many
-- ids there were, how many left the set, how many are young, and whether it stopped early.
local function sweep_page(q, name, wanted, young, ends)
  local set, most = q[name], caps.of(q, 'most_' .. name)
  local ids = redis.call('ZRANGE', set, '-inf', now, 'BYSCORE', 'LIMIT', 0, wanted)
  local in_time, extra = #ids, math.min(redis.call('ZCARD', set) - most, wanted)
  if extra > #ids then ids = redis.call('ZRANGE', set, young, young + extra - 1) end
  if #ids == 0 then return 0, 0, young end
  local due = redis.call('ZMSCORE', q.due, unpack(ids))
  local gone, leaving, n, evicted, kept, stopped = {}, {}, 0, 0, 0, false
  for i, id in ipairs(ids) do
    stopped = i > 1 and budget.is_spent(); if stopped then break end
    budget.call.units = budget.call.units + 1
    local key = q.task .. id
    local found = hash.of_reply(key, redis.pcall('HMGET', key, 'state', 'bound'))   -- an id outside the grammar has no task
    local over, bound = found and ends[found[1]], found and found[2]
    local ended = over and i > in_time and (check.whole(redis.call('HGET', key, 'finished_at') or '', 1e11, 4e12) or 0)
    if over and due[i] then                             -- somebody put it into due: promote tells that, then it is removed
      redis.call('ZADD', set, 'XX', now + endings.KEEP_FINISHED, id)
    elseif ended and caps.is_young(name, ended, now) then
      young = young + 1
    else
      leaving[#leaving + 1] = id
      if ended then evicted, kept = evicted + 1, ended > 0 and now - ended or kept end   -- it goes because of the cap
      if over then                                      -- a task that is live again only leaves the set
        local ok, trouble = true, nil                   -- it is removed even if a key that it is entered in cannot be used
        if bound then ok, trouble = pcall(endings.forget, q, id, now, found[1], bound, gone)
        else endings.forget(q, id, now, found[1], bound, gone) end
        if not ok and errors.cause(q, trouble) ~= 'own' then error(trouble, 0) end
        n = n + 1
      end
    end
  end
  if #gone > 0 then redis.call('UNLINK', unpack(gone)) end
  if #leaving > 0 then redis.call('ZREM', set, unpack(leaving)) end
  removed = removed + n
  caps.tell_evicted(q, now, name, evicted, kept)
  return #ids, #leaving, young, stopped
end

local function sweep_set(q, name, ends)
  local looked, left, young, n, gone, stopped, before = 0, 0, 0, nil, nil, nil, nil
  repeat
    local wanted = math.min(A_PAGE, limit - looked)
    before = young
    n, gone, young, stopped = sweep_page(q, name, wanted, young, ends)
    looked, left = looked + n, left + gone
    if not stopped and (n < wanted or gone == 0 and young == before) then return end
  until looked >= limit or budget.is_spent()
  if left > 0 or stopped then more, q.swept = 1, false end
end

for i, q in ipairs(budget.in_turn(queues, now)) do
  if budget.share(#queues - i + 1) then
    more = 1
    break
  end
  q.swept = true
  sweep_set(q, 'finished', hash.FINISHED)
  sweep_set(q, 'dead', DEAD)
  local consumers = streams.drop_idle_consumers(q)
  if q.swept then sweep.plan(q, now, consumers) end
end
return {removed, more}

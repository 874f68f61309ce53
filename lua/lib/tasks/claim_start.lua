-- claim_start: start the tasks that a claim has chosen: leases first, then hashes; then their entries leave the streams.
--
-- USES  clock, safe, stats, digests

-- Put the tasks into running, where each stands with the end of its lease. If the key running of a queue is no set, the queue
-- is stuck and none of its tasks starts. Answers how many tasks each queue has, by its number.
local function enter_running(queues, answers, ends)
  local leases, counts, number, list, n = {}, {}, nil, nil, 0
  for i = 1, #answers do
    local answer = answers[i]
    if answer[1] ~= number then                         -- the next task is mostly of the same queue
      if number then counts[number] = n end
      number = answer[1]
      list, n = leases[number] or {}, counts[number] or 0
      leases[number] = list
    end
    n = n + 1
    list[2 * n - 1], list[2 * n] = ends, answer[2]
  end
  counts[number] = n
  for at, pairs_of in pairs(leases) do
    queues[at].stuck = safe.call('ZADD', queues[at].running, unpack(pairs_of)) == nil
  end
  return counts
end

-- Count the tasks that have started, and how late each was.
local function count_started(queues, reply, first, now, counts)
  local lateness, number, due_at, buckets, bucket = {}, nil, nil, nil, nil
  for i = first, #reply do
    local answer = reply[i]
    if answer[1] ~= number or answer[4] ~= due_at then
      number, due_at = answer[1], answer[4]
      buckets, bucket = lateness[number] or {}, stats.lateness_bucket(now - due_at)
      lateness[number] = buckets
    end
    buckets[bucket] = (buckets[bucket] or 0) + 1
  end
  for at, by_bucket in pairs(lateness) do
    stats.count(queues[at], now, 'started', counts[at])
    for name, count in pairs(by_bucket) do stats.count(queues[at], now, name, count) end
  end
end

-- Put the tasks into running with their leases, then write their hashes, and append their answers to reply. starting: the
-- digests that start with them, by the number of an answer.
function claim_start.begin(queues, answers, hashes, starting, now, order, reply)
  local stamp, nonce, consumer = clock.text(now), order.nonce, order.consumer   -- converting a number is slow
  local counts, before = enter_running(queues, answers, clock.text(now + order.lease)), #reply
  local n, last, word, token, number, q = before, nil, nil, nil, nil, nil
  for i = 1, #answers do
    local answer, digest = answers[i], starting[i]
    if answer[3] ~= last then                           -- mostly the same as the one before
      last = answer[3]
      word = clock.text(last)
      token = word .. '.' .. nonce
    end
    if answer[1] ~= number then
      number = answer[1]
      q = queues[number]
    end
    if not q.stuck then
      if digest ~= nil then
        digests.start(q, answer[2], digest, now)
        redis.call('HSET', hashes[i], 'state', 'running', 'attempt', word, 'token', token,
          'started_at', stamp, 'worker', consumer, 'payload', answer[6], 'frozen', '1')
      else
        redis.call('HSET', hashes[i], 'state', 'running', 'attempt', word, 'token', token,
          'started_at', stamp, 'worker', consumer)
      end
      n = n + 1
      reply[n] = answer
    end
  end
  count_started(queues, reply, before + 1, now, counts)
end

-- Remove the entries of a stream up to one that is still there: by one command if the number in its id can be counted on.
local function trim(stream, at)
  local ms, n = string.match(at, '^(%d+)%-(%d+)$')
  if #n <= 15 then
    redis.call('XTRIM', stream, 'MINID', ms .. '-' .. clock.text(n + 1))
  else
    redis.call('XTRIM', stream, 'MINID', at)
    redis.call('XDEL', stream, at)
  end
end

-- Remove from the streams what a claim has looked at: all entries up to the last that was read, and those of its bells.
-- home: the queue of each stream. A stuck queue keeps its entries.
function claim_start.trim_streams(read_to, rung, home)
  for stream, at in pairs(read_to) do
    if not home[stream].stuck then trim(stream, at) end
  end
  for stream, bells in pairs(rung) do
    for at in pairs(home[stream].stuck and {} or bells) do
      safe.call('XDEL', stream, at)
      safe.call('XACK', stream, 'workers', at)
    end
  end
end

-- claim: which entry of a stream is a task that may start, and its start.
--
-- USES  clock, keys, check, safe, hash, stats, endings, conditions, facts, newer_version, digests, blocked, pauses
-- USES  verdicts

-- In the order of an answer, whose first four words take the place of what only the claim itself needs.
claim.FIELDS = {'state', 'entry', 'attempt', 'due_at', 'type', 'payload', 'timeout_ms', 'headers', 'traceparent',
  'content_type', 'max_attempts', 'expires_at', 'retention_ms'}

-- Whether the tests of a ready task still hold, as they did when it became ready. If not, it is turned down as promote would
-- do it. The task of a digest gets its items as payload here; then the digest is answered too.
local function still_met(q, id, now, found)
  local f = blocked.read(q, id)
  local plan, newer = nil, false
  if f.conditions then plan, newer = conditions.known(f.conditions) end
  local fact = plan and facts.first(q.prefix, plan.cancel_on)   -- with many listeners the task may not have been told yet
  if fact then
    verdicts.conclude(q, id, 'cancelled', now, f, 'event ' .. fact)
  elseif newer then
    newer_version.postpone(q, id, now, 'state', 'scheduled')
  elseif f.conditions and not plan then
    endings.dead(q, id, now, 'malformed')
  elseif plan and not facts.is_met(q.prefix, plan) then
    verdicts.turn_down(q, id, plan, f, now)
  else
    local digest = nil
    if plan and plan.digest and not f.frozen then found[6], digest = digests.payload(q, id, f, now) end
    return true, digest
  end
  return false
end

-- Make the answer out of a task's fields, in their table, since a new table is slow.
function claim.answer_of(found, number, id, attempt, due_at)
  found[1], found[2], found[3], found[4], found[13] = number, id, attempt, due_at, nil
  if not (found[7] or found[8] or found[9] or found[10] or found[11] or found[12]) then found[7] = nil end
  return found
end

-- The answer for the task that this entry may start, and the digest that it is the task of; nil if the entry is stale or the
-- task ends here. number: its queue's. The id need not be checked: one outside the grammar has no hash.
function claim.startable(q, number, id, entry, now, asked)
  local key = q.task .. id
  local found = hash.of_reply(key, redis.pcall('HMGET', key, 'state', 'entry', 'attempt', 'due_at', 'type', 'payload',
    'timeout_ms', 'headers', 'traceparent', 'content_type', 'max_attempts', 'expires_at',
    'retention_ms'))                                    -- FIELDS; unpack is slow
  if not found or found[1] ~= 'ready' or found[2] ~= entry then return nil end
  local attempt, most, expires, timeout = 0, 5, 4e12, 60000
  if found[3] or found[11] or found[12] or found[7] then
    attempt = check.number_or('attempt', found[3], attempt)
    most = check.number_or('max_attempts', found[11], most)
    expires = check.number_or('expires_at', found[12], expires)
    timeout = check.number_or('timeout_ms', found[7], timeout)
  end
  if not (keys.is_name(found[5]) and found[6] and attempt and most and expires and timeout) then
    endings.dead(q, id, now, 'malformed')
  elseif expires <= now then
    endings.expire(q, id, now, found[13])
  elseif attempt >= most then
    endings.dead(q, id, now, 'attempts')
  else
    local due_at = check.whole(found[4] or '', 1e11, 4e12) or now
    local stop, is_met, digest = q.stops ~= false and pauses.by(q, found[5], id, now), true, nil
    if stop then
      pauses.hold(q, id, stop, clock.text(due_at), expires)
      return nil
    end
    if asked then is_met, digest = still_met(q, id, now, found) end
    if is_met then return claim.answer_of(found, number, id, attempt + 1, due_at), digest end
  end
end

-- Put the tasks into running, where each stands with the end of its lease. If the key running of a queue is no set, the queue
-- is stuck and none of its tasks starts. Answers how many tasks each queue has, by its number.
local function enter_running(queues, answers, ends)
  local leases, counts = {}, {}
  for i = 1, #answers do
    local number, id = answers[i][1], answers[i][2]
    local list, n = leases[number], counts[number] or 0
    if not list then
      list = {}
      leases[number] = list
    end
    list[2 * n + 1], list[2 * n + 2] = ends, id
    counts[number] = n + 1
  end
  for number, list in pairs(leases) do
    queues[number].stuck = safe.call('ZADD', queues[number].running, unpack(list)) == nil
  end
  return counts
end

-- Put the tasks into running with their leases, then write their hashes, and append their answers to reply. starting: of the
-- digests that start with them, by the number of an answer.
function claim.begin(queues, answers, starting, now, order, reply)
  local stamp, nonce, consumer = clock.text(now), order.nonce, order.consumer   -- converting a number is slow
  local counts, lateness, n = enter_running(queues, answers, clock.text(now + order.lease)), {}, #reply
  local last, word, token = nil, nil, nil
  for i = 1, #answers do
    local answer, digest = answers[i], starting[i]
    local number, id, attempt = answer[1], answer[2], answer[3]
    local q = queues[number]
    if attempt ~= last then                             -- mostly the same as the one before
      last, word = attempt, clock.text(attempt)
      token = word .. '.' .. nonce
    end
    if not q.stuck then
      if digest ~= nil then
        digests.start(q, id, digest, now)
        redis.call('HSET', q.task .. id, 'state', 'running', 'attempt', word, 'token', token,
          'started_at', stamp, 'worker', consumer, 'payload', answer[6], 'frozen', '1')
      else
        redis.call('HSET', q.task .. id, 'state', 'running', 'attempt', word, 'token', token,
          'started_at', stamp, 'worker', consumer)
      end
      n = n + 1
      reply[n] = answer
      local buckets, bucket = lateness[number], stats.lateness_bucket(now - answer[4])
      if not buckets then
        buckets = {}
        lateness[number] = buckets
      end
      buckets[bucket] = (buckets[bucket] or 0) + 1
    end
  end
  for number, buckets in pairs(lateness) do
    stats.count(queues[number], now, 'started', counts[number])
    for bucket, count in pairs(buckets) do stats.count(queues[number], now, bucket, count) end
  end
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
function claim.trim_streams(read_to, rung, home)
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

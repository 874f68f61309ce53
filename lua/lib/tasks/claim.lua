-- claim: which entry of a stream is a task that may start, its start, and the memory of each consumer's last claim, by
-- which a call that is repeated after a lost reply starts nothing new.
--
-- USES  clock, keys, check, safe, hash, stats, endings, conditions, facts, newer_version, digests, blocked, pauses
-- USES  verdicts

local FIELDS = {'state', 'entry', 'type', 'payload', 'attempt', 'max_attempts', 'timeout_ms', 'expires_at', 'due_at',
  'headers', 'traceparent', 'content_type', 'retention_ms'}

-- Whether the tests of a ready task still hold, as they did when it became ready. If not, it is turned down as promote would
-- do it. The task of a digest gets its items as payload here.
local function still_met(q, id, now, starting)
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
    if plan and plan.digest and not f.frozen then
      starting[4], starting.digest = digests.payload(q, id, f, now)
    end
    return true
  end
  return false
end

-- The fields of a task that this entry may start; nil if the entry is stale or the task ends here. The id need not be
-- checked: one outside the grammar has no hash.
function claim.startable(q, id, entry, now, asked)
  local key = q.task .. id
  local found = hash.of_reply(key, redis.pcall('HMGET', key, 'state', 'entry', 'type', 'payload', 'attempt', 'max_attempts', 'timeout_ms',
    'expires_at', 'due_at', 'headers', 'traceparent', 'content_type', 'retention_ms'))   -- the same as FIELDS; unpack is slow
  if not found or found[1] ~= 'ready' or found[2] ~= entry then return nil end
  local attempt, most, expires, timeout = 0, 5, 4e12, 60000
  if found[5] or found[6] or found[7] or found[8] then
    attempt = check.number_or('attempt', found[5], attempt)
    most = check.number_or('max_attempts', found[6], most)
    expires = check.number_or('expires_at', found[8], expires)
    timeout = check.number_or('timeout_ms', found[7], timeout)
  end
  if not (keys.is_name(found[3]) and found[4] and attempt and most and expires and timeout) then
    endings.dead(q, id, now, 'malformed')
  elseif expires <= now then
    endings.expire(q, id, now, found[13])
  elseif attempt >= most then
    endings.dead(q, id, now, 'attempts')
  else
    found.attempt = attempt + 1
    found.due_at = check.whole(found[9] or '', 1e11, 4e12) or now
    local stop = pauses.by(q, found[3], id, now)
    if stop then
      pauses.hold(q, id, stop, clock.text(found.due_at), expires)
    elseif not asked or still_met(q, id, now, found) then
      return found
    end
  end
end

local function claim_answer(number, id, found, attempt, due_at)
  if not (found[7] or found[10] or found[11] or found[12] or found[6] or found[8]) then
    return {number, id, attempt, due_at, found[3], found[4]}
  end
  return {number, id, attempt, due_at, found[3], found[4], found[7], found[10], found[11], found[12], found[6], found[8]}
end

-- Put the tasks into running with their leases, then write their hashes, and append one answer each to reply. If the key
-- running of a queue is no set, the queue is stuck and none of its tasks starts.
function claim.begin(starts, now, lease, nonce, consumer, reply)
  local leases, lateness, words, tokens = {}, {}, {}, {}
  local stamp, ends = clock.text(now), clock.text(now + lease)   -- converting a number is slow
  for _, start in ipairs(starts) do
    local list = leases[start.q] or {}
    leases[start.q] = list
    list[#list + 1] = ends
    list[#list + 1] = start.id
  end
  for q, list in pairs(leases) do q.stuck = safe.call('ZADD', q.running, unpack(list)) == nil end
  for _, task in ipairs(starts) do
    local q, word = task.q, words[task.attempt] or tostring(task.attempt)
    local token = tokens[task.attempt] or word .. '.' .. nonce
    words[task.attempt], tokens[task.attempt] = word, token
    if not q.stuck then
      if task.digest ~= nil then
        digests.start(q, task.id, task.digest, now)
        redis.call('HSET', q.task .. task.id, 'state', 'running', 'attempt', word, 'token', token,
          'started_at', stamp, 'worker', consumer, 'payload', task[4], 'frozen', 1)
      else
        redis.call('HSET', q.task .. task.id, 'state', 'running', 'attempt', word, 'token', token,
          'started_at', stamp, 'worker', consumer)
      end
      reply[#reply + 1] = claim_answer(task.number, task.id, task, task.attempt, task.due_at)
      lateness[q] = lateness[q] or {}
      local bucket = stats.lateness_bucket(now - task.due_at)
      lateness[q][bucket] = (lateness[q][bucket] or 0) + 1
    end
  end
  for q, buckets in pairs(lateness) do
    stats.count(q, now, 'started', #leases[q] / 2)
    for bucket, n in pairs(buckets) do stats.count(q, now, bucket, n) end
  end
end
function claim.remember(key, nonce, starts, lease)
  local line = {nonce}
  for _, start in ipairs(starts) do line[#line + 1] = start.q.name .. '/' .. start.id end
  redis.call('SET', key, table.concat(line, ' '), 'PX', lease)
end

-- Append to reply what an earlier call with this nonce answered, of its tasks that still run; answers whether there was such
-- a call. Its worker has not seen them, so a task whose start-by has passed meanwhile has not started: it expires.
function claim.repeated(key, nonce, queues, now, reply)
  local line = safe.call('GET', key)
  if not line or string.sub(line, 1, #nonce + 1) ~= nonce .. ' ' then return false end
  local numbers = {}
  for number, q in ipairs(queues) do numbers[q.name] = number end
  for name, id in string.gmatch(string.sub(line, #nonce + 2), '([^ /]+)/(%S+)') do
    local number = numbers[name]
    local found = number and hash.read(queues[number].task .. id, unpack(FIELDS))
    local token = found and redis.call('HGET', queues[number].task .. id, 'token')
    if found and found[1] == 'running' and token == found[5] .. '.' .. nonce then
      if (check.number_or('expires_at', found[8], 4e12) or 4e12) <= now then
        endings.expire(queues[number], id, now, found[13], nil, 'attempt',
          clock.text(math.max((tonumber(found[5]) or 1) - 1, 0)))
        redis.call('ZREM', queues[number].running, id)
      else
        reply[#reply + 1] = claim_answer(number, id, found, tonumber(found[5]), check.whole(found[9] or '', 1e11, 4e12) or now)
      end
    end
  end
  return true
end

-- Remove from the streams what a claim has looked at: all entries up to the last that was read, and those of its bells.
-- home: the queue of each stream. A stuck queue keeps its entries.
function claim.trim_streams(read_to, rung, home)
  for stream, at in pairs(read_to) do
    if not home[stream].stuck then
      redis.call('XTRIM', stream, 'MINID', at)
      redis.call('XDEL', stream, at)
    end
  end
  for stream, bells in pairs(rung) do
    for at in pairs(home[stream].stuck and {} or bells) do
      safe.call('XDEL', stream, at)
      safe.call('XACK', stream, 'workers', at)
    end
  end
end

-- start: the parts of claim: which entry is a task that may start, and its start.

local FIELDS = {'state', 'entry', 'type', 'payload', 'attempt', 'max_attempts', 'timeout_ms', 'expires_at', 'due_at',
  'headers', 'traceparent', 'content_type', 'retention_ms'}

-- Whether a ready task may still run: its tests hold, as they did when it became ready; where not, it is turned down as promote
-- would do it. Of a digest the items are put into what starts.
local function still_met(q, id, now, starting)
  local f = read_planned(q, id)
  local plan, newer = nil, false
  if f.conditions then plan, newer = known_plan(f.conditions) end
  local fact = plan and first_fact(q.prefix, plan.cancel_on)   -- of many listeners it may not have been told yet
  if fact then
    conclude(q, id, 'cancelled', now, f, 'event ' .. fact)
  elseif newer then
    postpone(q, id, now, 'state', 'scheduled')
  elseif f.conditions and not plan then
    bury(q, id, now, 'malformed')
  elseif plan and not is_met(q.prefix, plan) then
    turn_down(q, id, plan, f, now)
  else
    if plan and plan.digest and not f.frozen then
      starting[4], starting.digest = DIGESTS.payload(q, id, f, now)
    end
    return true
  end
  return false
end

-- The fields of a task that this entry may start; nil where the entry is stale or the task ends here. An id that is none
-- names no ready task.
local function startable(q, id, entry, now, asked)
  local key = q.task .. id
  local found = readable(key, redis.pcall('HMGET', key, 'state', 'entry', 'type', 'payload', 'attempt', 'max_attempts', 'timeout_ms',
    'expires_at', 'due_at', 'headers', 'traceparent', 'content_type', 'retention_ms'))   -- FIELDS, which unpack hands on slowly
  if not found or found[1] ~= 'ready' or found[2] ~= entry then return nil end
  local attempt, most, expires, timeout = 0, 5, 4e12, 60000
  if found[5] or found[6] or found[7] or found[8] then
    attempt = number_or('attempt', found[5], attempt)
    most = number_or('max_attempts', found[6], most)
    expires = number_or('expires_at', found[8], expires)
    timeout = number_or('timeout_ms', found[7], timeout)
  end
  if not (is_name(found[3]) and found[4] and attempt and most and expires and timeout) then
    bury(q, id, now, 'malformed')
  elseif expires <= now then
    expire(q, id, now, found[13])
  elseif attempt >= most then
    bury(q, id, now, 'attempts')
  else
    found.attempt = attempt + 1
    found.due_at = whole(found[9] or '', 1e11, 4e12) or now
    local stop = stopped_by(q, found[3], id, now)
    if stop then
      hold_stopped(q, id, stop, text(found.due_at), expires)
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

-- Put the tasks into running with their leases, then write their hashes. Appends one answer each to reply. A queue whose
-- running is no set is stuck: nothing of it starts.
local function begin(starts, now, lease, nonce, consumer, reply)
  local leases, late, words, tokens = {}, {}, {}, {}
  local stamp, ends = text(now), text(now + lease)    -- converting a number is slow
  for _, start in ipairs(starts) do
    local list = leases[start.q] or {}
    leases[start.q] = list
    list[#list + 1] = ends
    list[#list + 1] = start.id
  end
  for q, list in pairs(leases) do q.stuck = soft('ZADD', q.running, unpack(list)) == nil end
  for _, task in ipairs(starts) do
    local q, word = task.q, words[task.attempt] or tostring(task.attempt)
    local token = tokens[task.attempt] or word .. '.' .. nonce
    words[task.attempt], tokens[task.attempt] = word, token
    if not q.stuck then
      if task.digest ~= nil then
        DIGESTS.start(q, task.id, task.digest, now)
        redis.call('HSET', q.task .. task.id, 'state', 'running', 'attempt', word, 'token', token,
          'started_at', stamp, 'worker', consumer, 'payload', task[4], 'frozen', 1)
      else
        redis.call('HSET', q.task .. task.id, 'state', 'running', 'attempt', word, 'token', token,
          'started_at', stamp, 'worker', consumer)
      end
      reply[#reply + 1] = claim_answer(task.number, task.id, task, task.attempt, task.due_at)
      late[q] = late[q] or {}
      local bucket = lateness_bucket(now - task.due_at)
      late[q][bucket] = (late[q][bucket] or 0) + 1
    end
  end
  for q, buckets in pairs(late) do
    count(q, now, 'started', #leases[q] / 2)
    for bucket, n in pairs(buckets) do count(q, now, bucket, n) end
  end
end

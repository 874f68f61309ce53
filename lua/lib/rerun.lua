-- rerun: how a run that did not complete goes on: again, later, or never. The caller takes the id out of running.

local OUTCOME = {complete = true, retry = true, snooze = true, ['return'] = true, dead = true, cancelled = true}

local function read_run(q, id)
  local found = read(q.task .. id, 'attempt', 'max_attempts', 'retry', 'expires_at', 'cancel_requested',
    'retention_ms', 'worker', 'unhandled', 'priority', 'conditions', 'crashes')
  return {
    attempt = number_or('attempt', found[1], 1) or 1, most = number_or('max_attempts', found[2], 5) or 1,
    policy = found[3] or nil, expires = number_or('expires_at', found[4], 4e12) or 4e12, cancel = found[5],
    retention = found[6], worker = found[7], unhandled = whole(found[8] or '0', 0, 100) or 0,
    priority = PRIORITY[found[9] or 'normal'] and (found[9] or 'normal') or 'normal', asked = found[10],
    crashes = found[11],
  }
end

-- Scheduled again after delay, or expired where its start-by comes first. More fields may follow.
local function later(q, id, now, run, delay, name, ...)
  local due = now + math.min(delay, 31536000000)
  if run.expires <= due then
    return expire(q, id, now, run.retention, 'start-by passes before the next run', ...)
  end
  redis.call('ZADD', q.due, due, id)
  redis.call('HSET', q.task .. id, 'state', 'scheduled', ...)
  event(q, name, id, 'due', text(due))
  count(q, now, name, 1)
  return 'scheduled'
end

-- After a failure or a crash: the next attempt with its delay, or dead where attempts are spent.
local function rerun(q, id, now, run, name, delay, spent, ...)
  if run.attempt >= run.most then return bury(q, id, now, spent) end
  delay = delay or retry_delay(run.policy, run.attempt, id)
  if not delay then return bury(q, id, now, 'malformed') end
  return later(q, id, now, run, delay, name, ...)
end

-- A claim of which no handler has begun: ready again at once, and its attempt is given back.
local function give_back(q, id, now, run, attempt)
  if run.cancel then return call_off(q, id, now, run.retention, run.cancel, 'attempt', attempt) end
  if run.expires <= now then return expire(q, id, now, run.retention, nil, 'attempt', attempt) end
  if run.asked and DIGESTS.take_back(q, id) then
    return later(q, id, now, run, 0, 'returned', 'attempt', attempt)
  end
  local entry = add_entry(q, id, run.priority, run.asked)
  redis.call('HSET', q.task .. id, 'state', 'ready', 'entry', entry, 'attempt', attempt)
  count(q, now, 'returned', 1)
  return 'ready'
end

local function carry_out(q, id, now, outcome, first, problem, traceback)
  local run = read_run(q, id)
  local delay = first ~= '' and whole(first, 0, 31536000000) or nil
  local earlier = text(math.max(run.attempt - 1, 0))
  if run.crashes then redis.call('HDEL', q.task .. id, 'crashes') end
  if run.asked and outcome ~= 'return' then redis.call('HSET', q.task .. id, 'begun', text(run.attempt)) end
  if outcome == 'return' and (first ~= 'unhandled' or run.cancel) then
    return give_back(q, id, now, run, earlier)
  elseif outcome == 'cancelled' or (run.cancel and outcome ~= 'dead') then
    local told = outcome == 'cancelled' and string.sub(first, 1, 200) or ''
    return call_off(q, id, now, run.retention, told ~= '' and told or run.cancel)
  elseif outcome == 'retry' then
    remember(q, id, now, run.attempt, 'retry', run.worker, problem, traceback)
    return rerun(q, id, now, run, 'retried', delay, 'attempts')
  elseif outcome == 'dead' then
    remember(q, id, now, run.attempt, 'dead', run.worker, problem, traceback)
    return bury(q, id, now, string.sub(first, 1, 100))
  elseif outcome == 'snooze' then
    return later(q, id, now, run, delay or 0, 'snoozed', 'attempt', earlier)
  else                                                  -- returned: no worker of this kind has a handler
    return later(q, id, now, run, math.min(5000 * 2 ^ math.min(run.unhandled, 4), 60000), 'unhandled',
      'attempt', earlier, 'unhandled', run.unhandled + 1)
  end
end

-- The state that it has by its end; one that fails through its own fault is dead.
local function settle_run(q, id, now, ...)
  local ok, word = pcall(carry_out, q, id, now, ...)
  if not ok then set_aside_or_raise(q, id, now, word) end
  return ok and word or 'dead'
end

-- kept: whole, part (without what only its run needed) or false.
local function complete(q, id, stamp, kept, result, bound)
  local key = q.task .. id
  if not kept then
    redis.call('UNLINK', key, q.outcome .. id)
    return
  end
  if result ~= '' then write_outcome(q.outcome .. id, 'result', result) end
  if bound then announce(q, id, 'completed', bound) end
  if DIGESTS.has(bound) then DIGESTS.end_others(q, id) end
  redis.call('HSET', key, 'state', 'completed', 'finished_at', stamp)
  if bound then untie(q, id, tonumber(stamp), bound) end
  if kept == 'part' then redis.call('HDEL', key, 'payload', 'headers', 'entry', 'worker', 'unhandled', 'begun', 'crashes') end
  if kept == 'part' and bound then redis.call('HDEL', key, 'conditions', 'postponed') end
end

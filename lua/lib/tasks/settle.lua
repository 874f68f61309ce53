-- settle: what becomes of a task after a run: completed, run again now or later, or ended. The caller takes the id out of
-- running.
--
-- USES  clock, check, hash, events, stats, retry, streams, outcomes, index, endings, isolation, digests

settle.OUTCOMES = {complete = true, retry = true, snooze = true, ['return'] = true, dead = true, cancelled = true}

function settle.read_run(q, id)
  local found = hash.read(q.task .. id, 'attempt', 'max_attempts', 'retry', 'expires_at', 'cancel_requested',
    'retention_ms', 'worker', 'unhandled', 'priority', 'conditions', 'crashes')
  return {
    attempt = check.number_or('attempt', found[1], 1) or 1, most = check.number_or('max_attempts', found[2], 5) or 1,
    policy = found[3] or nil, expires = check.number_or('expires_at', found[4], 4e12) or 4e12, cancel = found[5],
    retention = found[6], worker = found[7], unhandled = check.whole(found[8] or '0', 0, 100) or 0,
    priority = check.PRIORITIES[found[9] or 'normal'] and (found[9] or 'normal') or 'normal', asked = found[10],
    crashes = found[11],
  }
end

-- Schedule the task again after a delay, or expire it if its start-by comes first. More fields may follow.
local function later(q, id, now, run, delay, name, ...)
  local due = now + math.min(delay, 31536000000)
  if run.expires <= due then
    return endings.expire(q, id, now, run.retention, 'start-by passes before the next run', ...)
  end
  redis.call('ZADD', q.due, due, id)
  redis.call('HSET', q.task .. id, 'state', 'scheduled', ...)
  events.tell(q, name, id, 'due', clock.text(due))
  stats.count(q, now, name, 1)
  return 'scheduled'
end

-- After a failure or a crash: schedule the next attempt with its delay; the task is dead if its attempts are spent.
function settle.next_attempt(q, id, now, run, name, delay, spent, ...)
  if run.attempt >= run.most then return endings.dead(q, id, now, spent) end
  delay = delay or retry.delay(run.policy, run.attempt, id)
  if not delay then return endings.dead(q, id, now, 'malformed') end
  return later(q, id, now, run, delay, name, ...)
end

-- End a claim whose handler has not begun: the task is ready again at once, and its attempt is given back.
local function give_back(q, id, now, run, attempt)
  if run.cancel then return endings.cancel(q, id, now, run.retention, run.cancel, 'attempt', attempt) end
  if run.expires <= now then return endings.expire(q, id, now, run.retention, nil, 'attempt', attempt) end
  if run.asked and digests.take_back(q, id) then
    return later(q, id, now, run, 0, 'returned', 'attempt', attempt)
  end
  local entry = streams.add(q, id, run.priority, run.asked)
  redis.call('HSET', q.task .. id, 'state', 'ready', 'entry', entry, 'attempt', attempt)
  stats.count(q, now, 'returned', 1)
  return 'ready'
end

local function carry_out(q, id, now, outcome, first, problem, traceback)
  local run = settle.read_run(q, id)
  local delay = first ~= '' and check.whole(first, 0, 31536000000) or nil
  local earlier = clock.text(math.max(run.attempt - 1, 0))
  if run.crashes then redis.call('HDEL', q.task .. id, 'crashes') end
  if run.asked and outcome ~= 'return' then redis.call('HSET', q.task .. id, 'begun', clock.text(run.attempt)) end
  if outcome == 'return' and (first ~= 'unhandled' or run.cancel) then
    return give_back(q, id, now, run, earlier)
  elseif outcome == 'cancelled' or (run.cancel and outcome ~= 'dead') then
    local told = outcome == 'cancelled' and string.sub(first, 1, 200) or ''
    return endings.cancel(q, id, now, run.retention, told ~= '' and told or run.cancel)
  elseif outcome == 'retry' then
    outcomes.add_attempt(q, id, now, run.attempt, 'retry', run.worker, problem, traceback)
    return settle.next_attempt(q, id, now, run, 'retried', delay, 'attempts')
  elseif outcome == 'dead' then
    outcomes.add_attempt(q, id, now, run.attempt, 'dead', run.worker, problem, traceback)
    return endings.dead(q, id, now, string.sub(first, 1, 100))
  elseif outcome == 'snooze' then
    return later(q, id, now, run, delay or 0, 'snoozed', 'attempt', earlier)
  else                                                  -- returned: no worker of this kind has a handler
    return later(q, id, now, run, math.min(5000 * 2 ^ math.min(run.unhandled, 4), 60000), 'unhandled',
      'attempt', earlier, 'unhandled', run.unhandled + 1)
  end
end

-- Carry out an outcome other than complete. Answers the task's new state; a task that fails by its own fault is dead.
function settle.apply(q, id, now, ...)
  local ok, word = pcall(carry_out, q, id, now, ...)
  if not ok then isolation.set_aside_or_raise(q, id, now, word) end
  return ok and word or 'dead'
end

-- Complete a task of which a part is kept, has no result, and that no other task is to learn of. What mostly is there is removed
-- first: a field that is not there is then looked for among fewer.
function settle.complete_plain(key, stamp)
  redis.call('HSET', key, 'state', 'completed', 'finished_at', stamp)
  redis.call('HDEL', key, 'payload', 'entry', 'worker', 'headers', 'unhandled', 'begun', 'crashes')
end

-- Complete a task. kept: whole, part (without the fields that only its run needed) or false (nothing stays).
function settle.complete(q, id, stamp, kept, result, bound)
  local key = q.task .. id
  if not kept then
    index.forget(q, id)
    redis.call('UNLINK', key, q.outcome .. id)
    return
  end
  if result ~= '' then outcomes.write(q.outcome .. id, 'result', result) end
  if bound then
    endings.announce(q, id, 'completed', bound)
    if digests.has(bound) then digests.end_others(q, id) end
  end
  redis.call('HSET', key, 'state', 'completed', 'finished_at', stamp)
  if bound then endings.leave_links(q, id, tonumber(stamp), bound) end
  if kept == 'part' then
    redis.call('HDEL', key, 'payload', 'entry', 'worker', 'headers', 'unhandled', 'begun', 'crashes')
    if bound then redis.call('HDEL', key, 'conditions', 'postponed') end
  end
end

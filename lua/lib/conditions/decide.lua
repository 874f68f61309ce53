-- decide: what a due task with conditions does: run, wait, join a digest, be looked at again, or never run. Also what
-- becomes of a task whose conditions are replaced.
--
-- USES  clock, hash, streams, endings, cancel, schema, conditions, facts, holds, newer_version, links, digests, circles
-- USES  blocked, verdicts, late, merge, locks

-- Enter a task where its conditions say. Answers nothing, or the final state to which that leads, and why.
local function enter(q, id, plan, f, due, now)
  local bound = f.bound or ''
  if string.find(bound, 'c', 1, true) then
    local parents = plan.after and circles.parents(q, id, plan.after, bound, circles.MOST) or not plan.after and {}
    if not parents or circles.find(q, id, parents, links.lines_of(plan, f.key), circles.MOST) then
      return 'dead', 'malformed'
    end
  end
  if not f.created_at then redis.call('HSET', q.task .. id, 'created_at', clock.text(now)) end
  f.created_at = f.created_at or clock.text(now)
  links.mark(q.task .. id, 't')
  -- rs1_enqueue has seen all of its parents
  local tied = links.enter(q, id, plan, f.key, string.find(bound, 't', 1, true) and {})
  local taken, holder = true, nil
  if tied and plan.unique then taken, holder = locks.take(q, id, plan.unique, due, now) end
  if tied and taken then links.mark(q.task .. id, 'p') end   -- last: if this stops before it, the task is entered once more
  if not tied then return 'dead', 'malformed' end
  if not taken then return 'skipped', 'duplicate of ' .. holder end
end

local function complete_payload(q, id, plan, f)
  if f.frozen or not plan.late then return true end
  local payload = late.payload(q.prefix, plan.late, f.payload)
  if payload then redis.call('HSET', q.task .. id, 'payload', payload, 'frozen', 1) end
  return payload ~= nil
end

-- Carry out the word of blocked.by or of enter: the end that it means, or the hold.
function decide.halt(q, id, word, more, f, due_at, now)
  if word == 'dead' then
    endings.dead(q, id, now, more)
  elseif hash.FINISHED[word] then
    verdicts.conclude(q, id, word, now, f, more)
  else
    holds.put(q, id, word, math.min(more, f.expires), 'due_at', due_at)
  end
  return true
end

-- Decide a due task. Answers true: it leaves due; false: it stays there; nil: it runs. In that case also whether a claim
-- asks its conditions once more.
function decide.task(q, id, due_at, now)
  q.planned = q.planned + 1
  local f = blocked.read(q, id)
  local plan, _, part = conditions.of(f.conditions)
  if part and f.created_at then
    newer_version.postpone(q, id, now)
    return false
  end
  if not plan or not f.payload or plan.fifo and not schema.is_key(f.key) then
    return decide.halt(q, id, 'dead', 'malformed', f, due_at, now)
  end
  -- its item was claimed already; no test takes it out
  if digests.has(f.bound) and cancel.end_merged(q, id, now) then return true end
  local word, more = nil, nil
  if not string.find(f.bound or '', 'p', 1, true) then word, more = enter(q, id, plan, f, tonumber(due_at), now) end
  if not word then word, more = blocked.by(q, id, plan, f, now) end
  if word then return decide.halt(q, id, word, more, f, due_at, now) end
  if not links.is_first_in_lines(q, id, plan, f.key) then return decide.halt(q, id, 'line', now + 60000, f, due_at, now) end
  if not facts.is_met(q.prefix, plan) then return verdicts.turn_down(q, id, plan, f, now) end
  if plan.digest and not f.frozen then
    word, more = merge.join_or_close(q, id, plan, f, now)
    if word == 'open' then return false end
    if word then return decide.halt(q, id, word, more, f, due_at, now) end
  elseif not complete_payload(q, id, plan, f) then
    return decide.halt(q, id, 'dead', 'malformed', f, due_at, now)
  end
  return nil, plan.only_if ~= nil or plan.unless ~= nil or plan.cancel_on ~= nil or plan.digest ~= nil
end

-- Enter a task by its new conditions and hold it if it has to wait. Facts that are there now count at once, as for a new
-- task: they may be gone by its due time.
local function decide_anew(q, id, plan, f, delay, bound, now)
  local due = redis.call('ZSCORE', q.due, id) or clock.text(now)
  if enter(q, id, plan, f, tonumber(due), now) then     -- it cannot be entered: promote says why
    links.leave(q, id, plan, f.key, now)
    redis.call('HSET', q.task .. id, 'bound', bound)
    return
  end
  local word, more = blocked.by(q, id, plan, f, now)
  if not word then return end
  if delay and not hash.FINISHED[word] then redis.call('HSET', q.task .. id, 'delay_ms', delay) end
  decide.halt(q, id, word, more, f, due, now)
  redis.call('ZREM', q.due, id)
end

-- Enter a task that is live again; events from now on count.
function decide.enter_again(q, id, bound, now)
  local f = blocked.read(q, id)
  local plan = conditions.of(f.conditions)
  bound = string.find(bound or '', 'c', 1, true) and 'c' or '-'
  if plan and (not plan.fifo or schema.is_key(f.key)) then decide_anew(q, id, plan, f, nil, bound, now) end
end

-- Replace the conditions of a task: it leaves where the old ones entered it, and promote judges it anew. old: its fields
-- before the change; write: writes the new ones. When write is called, the task is in due and entered nowhere: if this stops
-- half-way, promote enters it by the conditions that it has.
function decide.change(q, id, old, write, now)
  local key, lives = q.task .. id, hash.LIVE[old.state]
  local before = old.conditions and (lives or string.find(old.bound or '', '[pt]')) and conditions.known(old.conditions)
  local bound = string.find(old.bound or '', 'c', 1, true) and 'c' or '-'
  local delay = redis.call('HGET', key, 'delay_ms')
  if old.state == 'held' then
    holds.release(q, id, now)
  elseif old.state == 'ready' then
    redis.call('ZADD', q.due, old.due_at or clock.text(now), id)
    redis.call('HSET', key, 'state', 'scheduled')
    streams.remove(q, old.entry)
  end
  if digests.has(old.bound) then digests.leave(q, id, now) end
  if before then
    redis.call('HSET', key, 'bound', bound)
    links.leave(q, id, before, old.key, now)
  end
  redis.call('UNLINK', q.parents .. id)
  redis.call('HDEL', key, 'heard', 'deferred')
  write()
  if not lives then return end
  local f = blocked.read(q, id)
  local plan = f.conditions and conditions.of(f.conditions)
  if plan and (not plan.fifo or schema.is_key(f.key)) then decide_anew(q, id, plan, f, delay, bound, now) end
end

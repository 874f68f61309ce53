-- repair_task: put a task right. In doubt it runs again; what cannot be read is set aside.
--
-- USES  clock, check, safe, streams, index, endings, holds, task_view, task_rules, repair_links

-- The state that a task shall have: what its hash says. If the hash says nothing or cannot be right, what the one place says
-- in which the task is; else scheduled.
local function intended(v)
  local home = task_view.SET_OF[v.state]
  if not home or (not v.told and not v.score.due) then
    if v.places + (v.named and 1 or 0) ~= 1 then return 'scheduled' end
    if v.named then return 'ready' end
    if v.score.finished then
      return v.finished_at and (not v.payload and 'completed' or v.reason and 'cancelled') or 'scheduled'
    end
    return v.score.held and 'held' or v.score.running and 'running' or v.score.dead and 'dead' or 'scheduled'
  end
  if (home == 'finished' or home == 'dead') and not v.score[home] and not v.finished_at then return 'scheduled' end
  return v.state
end

-- Like intended, but a run that no worker can settle and a hold without an end are scheduled anew.
local function target(v)
  local state = intended(v)
  if state == 'running' and not (v.claim and v.claim >= 1 and v.claim <= (v.most or 1000)) then return 'scheduled' end
  if state == 'held' and not (v.score.held and check.is_time(math.floor(v.score.held))) then return 'scheduled' end
  return state
end
local LEASE_AGAIN = 30000                               -- for a worker that may still be there

local function leave_sets(q, id, but)
  for _, place in ipairs(task_view.SETS) do
    if place ~= but then safe.call('ZREM', q[place], id) end
  end
end

-- Writes the task into the place of its state, then its hash; answers the state, or nil where it was set aside.
local function place_task(q, v, now, state)
  local id, key, score, changes = v.id, q.task .. v.id, v.score, {'state', state}
  if state == 'running' then
    redis.call('ZADD', q.running, math.min(score.running or now + LEASE_AGAIN, now + task_view.LONGEST_LEASE), id)
    changes[3], changes[4] = 'attempt', v.claim
  elseif state == 'scheduled' or state == 'held' or state == 'ready' then
    if task_view.is_malformed(v, state) then return endings.dead(q, id, now, 'malformed') end
    if state == 'scheduled' and score.due and not check.is_time(math.floor(score.due)) then
      endings.quarantine(q, id, now, 'bad time')
      redis.call('HSET', key, 'state', state)
      return nil
    end
    if v.tries > v.most or v.state == 'running' and v.tries == v.most then changes[3], changes[4] = 'attempt', v.most - 1 end
    if state == 'scheduled' then redis.call('ZADD', q.due, score.due or now, id) end
    if state == 'ready' and not v.named then
      changes[#changes + 1] = 'entry'
      changes[#changes + 1] = streams.add(q, id, check.PRIORITIES[v.priority or ''] and v.priority or 'normal', v.conditions)
    end
  else
    local most = now + (state == 'dead' and endings.KEEP_DEAD or endings.KEEP_FINISHED)
    local ends = score[task_view.SET_OF[state]]
    redis.call('ZADD', q[task_view.SET_OF[state]], ends and ends <= now + task_view.LONGEST_KEPT and ends or most, id)
    if not v.finished_at then changes[3], changes[4] = 'finished_at', clock.text(now) end
  end
  redis.call('HSET', key, unpack(changes))
  return state
end

function repair_task.repair(q, id, now)
  local v, broken = task_view.read(q, id), {}
  for _, rule in ipairs(task_rules.faults(q, v, now)) do broken[rule] = true end
  if not next(broken) then return 'well' end
  if broken.unfindable then index.add(q, id, v.tags, v.key) end
  broken.unfindable = nil
  if not next(broken) then return v.state end
  local state
  if v.kind ~= 'hash' then
    endings.quarantine(q, id, now, not v.valid and 'bad id' or v.kind == 'none' and 'missing' or 'wrong type')
  else
    if v.expiring then redis.call('PERSIST', q.task .. id) end
    state = place_task(q, v, now, target(v))
    if state ~= 'running' and (v.state == 'running' or v.score.running) then
      redis.call('HDEL', q.task .. id, 'token')         -- its worker's answer comes too late from here on
    end
    if v.named and state ~= 'ready' then streams.remove(q, v.entry) end
    if state ~= 'held' and v.blocked then
      holds.leave(q, id, v.blocked)
      redis.call('HDEL', q.task .. id, 'delay_ms')
    end
  end
  leave_sets(q, id, task_view.SET_OF[state])
  if state then repair_links.of_task(q, id, broken, now) end
  return state and (redis.call('HGET', q.task .. id, 'state') or 'completed') or 'quarantined'
end

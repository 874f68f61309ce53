-- mend: puts a task, an entry or a key right again. In doubt a task runs again; what cannot be read is set aside.

local LEASE_AGAIN = 30000                               -- for a worker that may still be there

local function leave_sets(q, id, but)
  for _, place in ipairs(SETS) do
    if place ~= but then soft('ZREM', q[place], id) end
  end
end

-- The state that a task shall have: what its hash says; where it does not say or cannot be believed, what the one place
-- that has it says; else scheduled.
local function intended(v)
  local home = HOME[v.state]
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

-- Like intended, but a run that nobody can answer for and a hold without an end are scheduled anew.
local function target(v)
  local state = intended(v)
  if state == 'running' and not (v.claim and v.claim >= 1 and v.claim <= (v.most or 1000)) then return 'scheduled' end
  if state == 'held' and not (v.score.held and is_time(math.floor(v.score.held))) then return 'scheduled' end
  return state
end

-- Writes the task into the place of its state, then its hash; answers the state, or nil where it was set aside.
local function place_task(q, v, now, state)
  local id, key, score, fields = v.id, q.task .. v.id, v.score, {'state', state}
  if state == 'running' then
    redis.call('ZADD', q.running, math.min(score.running or now + LEASE_AGAIN, now + LONGEST_LEASE), id)
    fields[3], fields[4] = 'attempt', v.claim
  elseif state == 'scheduled' or state == 'held' or state == 'ready' then
    if malformed(v, state) then return bury(q, id, now, 'malformed') end
    if state == 'scheduled' and score.due and not is_time(math.floor(score.due)) then
      quarantine(q, id, now, 'bad time')
      redis.call('HSET', key, 'state', state)
      return nil
    end
    if v.tries > v.most then fields[3], fields[4] = 'attempt', v.most - 1 end
    if state == 'scheduled' then redis.call('ZADD', q.due, score.due or now, id) end
    if state == 'ready' and not v.named then
      fields[#fields + 1] = 'entry'
      fields[#fields + 1] = add_entry(q, id, PRIORITY[v.priority or ''] and v.priority or 'normal')
    end
  else
    local most = now + (state == 'dead' and KEEP_DEAD or KEEP_FINISHED)
    local ends = score[HOME[state]]
    redis.call('ZADD', q[HOME[state]], ends and ends <= now + LONGEST_KEPT and ends or most, id)
    if not v.finished_at then fields[3], fields[4] = 'finished_at', text(now) end
  end
  redis.call('HSET', key, unpack(fields))
  return state
end

local function mend_task(q, id, now)
  local v = view_of(q, id)
  if #task_faults(v, now) == 0 then return 'well' end
  local state
  if v.kind ~= 'hash' then
    quarantine(q, id, now, not v.valid and 'bad id' or v.kind == 'none' and 'missing' or 'wrong type')
  else
    if v.expiring then redis.call('PERSIST', q.task .. id) end
    state = place_task(q, v, now, target(v))
    if state ~= 'running' and (v.state == 'running' or v.score.running) then
      redis.call('HDEL', q.task .. id, 'token')           -- its worker's answer comes too late from here on
    end
    if v.named and state ~= 'ready' then drop_entry(q, v.entry) end
  end
  leave_sets(q, id, HOME[state])
  return state or 'quarantined'
end

-- mend: puts a task, an entry or a key right again. In doubt a task runs again; what cannot be read is set aside.

local LEASE_AGAIN = 30000                               -- for a worker that may still be there

local function leave_sets(q, id, but)
  for _, place in ipairs(SETS) do
    if place ~= but then soft('ZREM', q[place], id) end
  end
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
    if v.tries > v.most or v.state == 'running' and v.tries == v.most then fields[3], fields[4] = 'attempt', v.most - 1 end
    if state == 'scheduled' then redis.call('ZADD', q.due, score.due or now, id) end
    if state == 'ready' and not v.named then
      fields[#fields + 1] = 'entry'
      fields[#fields + 1] = add_entry(q, id, PRIORITY[v.priority or ''] and v.priority or 'normal', v.conditions)
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
  local v, broken = view_of(q, id), {}
  for _, rule in ipairs(task_faults(q, v, now)) do broken[rule] = true end
  if not next(broken) then return 'well' end
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
    if state ~= 'held' and v.blocked then
      leave_hold(q, id, v.blocked)
      redis.call('HDEL', q.task .. id, 'delay_ms')
    end
  end
  leave_sets(q, id, HOME[state])
  if state then retie(q, id, broken, now) end
  return state and (redis.call('HGET', q.task .. id, 'state') or 'completed') or 'quarantined'
end

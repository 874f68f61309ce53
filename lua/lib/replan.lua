-- replan: other conditions for a task that waits: it leaves what the old ones entered it in, and promote judges it anew.

local REPLAN = {}

-- What has happened counts at once, as for a new task: it may be forgotten by the time that it is due.
local function settle_anew(q, id, plan, f, delay, bound, now)
  local due = redis.call('ZSCORE', q.due, id) or text(now)
  if enter(q, id, plan, f, tonumber(due), now) then     -- it cannot be entered: promote says why
    untie_plan(q, id, plan, f.key, now)
    redis.call('HSET', q.task .. id, 'bound', bound)
    return
  end
  local word, more = blocked_by(q, id, plan, f, now)
  if not word then return end
  if delay and not FINISHED[word] then redis.call('HSET', q.task .. id, 'delay_ms', delay) end
  halt(q, id, word, more, f, due, now)
  redis.call('ZREM', q.due, id)
end

-- A task that is live again: what happens from now on counts.
function REPLAN.again(q, id, bound, now)
  local f = read_planned(q, id)
  local plan = plan_of(f.conditions)
  bound = string.find(bound or '', 'c', 1, true) and 'c' or '-'
  if plan and (not plan.fifo or is_key(f.key)) then settle_anew(q, id, plan, f, nil, bound, now) end
end

-- old: its fields before the change; write: writes the new ones. By then it is due and entered nowhere: where this stops
-- half-way, promote enters it by the conditions that it has.
function REPLAN.change(q, id, old, write, now)
  local key, lives = q.task .. id, LIVE[old.state]
  local before = old.conditions and (lives or string.find(old.bound or '', '[pt]')) and known_plan(old.conditions)
  local bound = string.find(old.bound or '', 'c', 1, true) and 'c' or '-'
  local delay = redis.call('HGET', key, 'delay_ms')
  if old.state == 'held' then
    release_task(q, id, now)
  elseif old.state == 'ready' then
    redis.call('ZADD', q.due, old.due_at or text(now), id)
    redis.call('HSET', key, 'state', 'scheduled')
    drop_entry(q, old.entry)
  end
  if DIGESTS.has(old.bound) then DIGESTS.leave(q, id, now) end
  if before then
    redis.call('HSET', key, 'bound', bound)
    untie_plan(q, id, before, old.key, now)
  end
  redis.call('UNLINK', q.parents .. id)
  redis.call('HDEL', key, 'heard', 'deferred')
  write()
  if not lives then return end
  local f = read_planned(q, id)
  local plan = f.conditions and plan_of(f.conditions)
  if plan and (not plan.fifo or is_key(f.key)) then settle_anew(q, id, plan, f, delay, bound, now) end
end

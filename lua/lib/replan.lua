-- replan: other conditions for a task that waits: it leaves what the old ones entered it in, and promote judges it anew.

-- What has happened counts at once, as for a new task: it may be forgotten by the time that it is due.
local function settle_anew(q, id, plan, f, delay, bound, now)
  local due = redis.call('ZSCORE', q.due, id) or text(now)
  if enter(q, id, plan, f, tonumber(due), now) then
    local parent = string.find(bound or '', 'c', 1, true)
    redis.call('HSET', q.task .. id, 'bound', parent and 'c' or '-')   -- it cannot be entered: promote says why
    return
  end
  local word, more = blocked_by(q, id, plan, f, now)
  if not word then return end
  if delay and not FINISHED[word] then redis.call('HSET', q.task .. id, 'delay_ms', delay) end
  halt(q, id, word, more, f, due, now)
  redis.call('ZREM', q.due, id)
end

-- old: its fields before the change. The hash has the new ones already.
local function replan(q, id, old, now)
  local before = old.conditions and string.find(old.bound or '', '[pt]') and known_plan(old.conditions)
  if DIGESTS.has(old.bound) then DIGESTS.leave(q, id, now) end
  if before then
    redis.call('HSET', q.task .. id, 'bound', string.find(old.bound, 'c', 1, true) and 'c' or '-')
    untie_plan(q, id, before, old.key, now)
    redis.call('UNLINK', q.parents .. id)
  end
  redis.call('HDEL', q.task .. id, 'heard', 'deferred')
  if not LIVE[old.state] then return end
  local delay = redis.call('HGET', q.task .. id, 'delay_ms')
  if old.state == 'held' then
    release_task(q, id, now)
  elseif old.state == 'ready' then
    redis.call('ZADD', q.due, old.due_at or text(now), id)
    redis.call('HSET', q.task .. id, 'state', 'scheduled')
    drop_entry(q, old.entry)
  end
  local f = read_planned(q, id)
  local plan = f.conditions and plan_of(f.conditions)
  if plan and (not plan.fifo or is_key(f.key)) then settle_anew(q, id, plan, f, delay, old.bound, now) end
end

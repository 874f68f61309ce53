-- replan: other conditions for a task that waits: it leaves what the old ones entered it in, and promote judges it anew.

-- old: its fields before the change. The hash has the new ones already.
local function replan(q, id, old, now)
  local before = old.conditions and string.find(old.bound or '', 'p', 1, true) and plan_of(old.conditions)
  if before then
    redis.call('HSET', q.task .. id, 'bound', string.find(old.bound, 'c', 1, true) and 'c' or '-')
    untie_plan(q, id, before, old.key, now)
    redis.call('UNLINK', q.parents .. id)
  end
  redis.call('HDEL', q.task .. id, 'heard', 'deferred')
  if not LIVE[old.state] then return end
  local f = read_planned(q, id)
  local plan = f.conditions and plan_of(f.conditions)
  if plan and (not plan.fifo or is_key(f.key)) and enter(q, id, plan, f, now, now) then
    local parent = string.find(old.bound or '', 'c', 1, true)
    redis.call('HSET', q.task .. id, 'bound', parent and 'c' or '-')   -- it cannot be entered: promote says why
  end
  if old.state == 'held' then
    release_task(q, id, now)
  elseif old.state == 'ready' then
    redis.call('ZADD', q.due, old.due_at or text(now), id)
    redis.call('HSET', q.task .. id, 'state', 'scheduled')
    drop_entry(q, old.entry)
  end
end

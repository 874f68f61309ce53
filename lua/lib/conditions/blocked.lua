-- blocked: what a task with conditions still has to wait for before its due time means anything.
--
-- USES  check, hash, facts, holds

local FIELDS = {'state', 'conditions', 'key', 'bound', 'created_at', 'confirmed', 'heard', 'expires_at', 'payload',
  'retention_ms', 'frozen', 'deferred', 'blocked', 'due_at', 'into', 'cancel_requested'}

-- The fields by which a task with conditions is decided, by their names; nil if there is no such task.
function blocked.read(q, id)
  local found = hash.read(q.task .. id, unpack(FIELDS))
  if not found then return nil end
  local f = {}
  for i, name in ipairs(FIELDS) do f[name] = found[i] or nil end
  f.state, f.expires = hash.state_of(f.state), check.whole(f.expires_at or '', 1e11, 4e12) or holds.NO_END
  return f
end

-- Like blocked.by, for the tasks that it comes after.
local function by_parents(q, id, after)
  local found = redis.call('HMGET', q.parents .. id, ':left', ':failed', ':first')
  local left, failed = tonumber(found[1] or 0), tonumber(found[2] or 0)
  local on, otherwise = after.on or 'success', after.otherwise or 'cancel'
  if on == 'success' and failed > 0 and otherwise ~= 'run' then
    return otherwise == 'skip' and 'skipped' or 'cancelled', 'after ' .. (found[3] or '')
  end
  if left > 0 then return 'parents', holds.NO_END end
  if on == 'failure' and failed == 0 then return 'skipped', 'after none that failed' end
end

-- What a task waits for. Answers nil if it waits for nothing; or a word for the field blocked and when the hold ends (ms);
-- or a final state and its reason.
function blocked.by(q, id, plan, f, now)
  local fact = facts.first(q.prefix, plan.cancel_on)
  if fact then return 'cancelled', 'event ' .. fact end
  -- asked while its digest had been claimed but had not begun
  if f.cancel_requested then return 'cancelled', f.cancel_requested end
  local since = check.whole(f.created_at or '', 1e11, 4e12) or now
  if plan.hold and not f.confirmed then
    local till = since + (plan.hold.within or 30000)
    if till > now then return 'confirm', till end
    if plan.hold['then'] ~= 'run' then return 'expired', 'not confirmed' end
  end
  if plan.wait_for and not f.heard then
    if facts.is_awaited(q.prefix, plan.wait_for) then
      redis.call('HSET', q.task .. id, 'heard', 1)
    else
      local till = plan.wait_for.within and since + plan.wait_for.within or holds.NO_END
      if till > now then return 'facts', till end
      if plan.wait_for['then'] ~= 'run' then return 'expired', 'no event' end
    end
  end
  if plan.after then return by_parents(q, id, plan.after) end
end

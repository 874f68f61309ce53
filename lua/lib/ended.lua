-- ended: what the end of a task sets free, and what it leaves for others to read.

local KEEP_TIED = 60000                                 -- ms: least retention of a task that others may ask for

-- The state is written already. Children learn of it from the mover, however many they are.
local function untie(q, id, state, now, bound)
  local has_children = string.find(bound, 'c', 1, true)
  if has_children then remind(q.prefix, 'ended/' .. state .. '/' .. q.name .. '/' .. id, 0) end
  if not string.find(bound, 'p', 1, true) then return end
  local found = read(q.task .. id, 'conditions', 'key')
  local plan = found and found[1] and plan_of(found[1])
  redis.call('HSET', q.task .. id, 'bound', has_children and 'c' or '-')
  if not plan then return end
  if plan.digest and redis.call('GET', q.digest .. plan.digest.key) == id then
    redis.call('UNLINK', q.digest .. plan.digest.key, q.items .. id)
  end
  untie_plan(q, id, plan, found[2], now)
end

-- The keys that go with a task when it is removed, appended to gone.
local function forget(q, id, bound, gone)
  gone[#gone + 1] = q.task .. id
  gone[#gone + 1] = q.outcome .. id
  if not bound then return end
  if string.find(bound, 'c', 1, true) then remind(q.prefix, 'ended/gone/' .. q.name .. '/' .. id, 1) end
  gone[#gone + 1] = q.parents .. id
  gone[#gone + 1] = q.items .. id
end

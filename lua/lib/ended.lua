-- ended: what the end of a task sets free, and what it leaves for others to read.

local KEEP_TIED = 60000                                 -- ms: least retention of a task that others may ask for

-- Before the state is written: the mover tells the children, however many they are, if it has become true by then.
local function announce(q, id, state, bound)
  if not bound or not string.find(bound, 'c', 1, true) then return end
  remind_from_start(q.prefix, 'ended/' .. state .. '/' .. q.name .. '/' .. id, 0)
end

-- The same of an end that is no run's: its digest goes on without it.
local function announce_unrun(q, id, state, bound, now)
  if DIGESTS.has(bound) then DIGESTS.leave(q, id, now, state == 'dead') end
  announce(q, id, state, bound)
end

-- After the state was written.
local function untie(q, id, now, bound)
  if not bound or not string.find(bound, '[pt]') then return end
  local found = read(q.task .. id, 'conditions', 'key')
  local plan = found and found[1] and known_plan(found[1])
  if plan then
    weigh(2 + #facts_of(plan) / 4)
    untie_plan(q, id, plan, found[2], now)
  end
  redis.call('HSET', q.task .. id, 'bound', string.find(bound, 'c', 1, true) and 'c' or '-')
end

-- Those who come after a task that is removed are told by a name that no later task of the same id has: as of one that has
-- completed, or is gone.
local function leave_children(q, id, state)
  local word = state == 'completed' and state or 'gone'
  local item, key, left = 'removed/' .. word .. '/' .. q.name .. '/' .. id, q.children .. id, q.children .. id .. '/' .. word
  if redis.call('EXISTS', key) == 0 then return end
  remind_from_start(q.prefix, item, 1)                  -- before: nobody is left behind where this stops
  if redis.call('EXISTS', left) == 0 then
    redis.call('RENAME', key, left)
  else                                                  -- those of an earlier one have not been told yet
    soft('ZUNIONSTORE', left, 2, left, key)
    redis.call('UNLINK', key)
  end
end

-- The keys that go with a task when it is removed, appended to gone. What a call that stopped half-way left undone is done.
local function forget(q, id, now, state, bound, gone)
  local n = #gone
  gone[n + 1], gone[n + 2] = q.task .. id, q.outcome .. id
  if not bound then return end
  gone[n + 3] = q.parents .. id
  untie(q, id, now, bound)
  redis.call('ZREM', q.held, id)
  local digest = redis.call('HGET', q.task .. id, 'into')
  if digest then DIGESTS.forget(q, digest, id) end
  if string.find(bound, 'c', 1, true) then leave_children(q, id, state) end
end

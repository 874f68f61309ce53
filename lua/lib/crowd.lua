-- crowd: telling many listeners of an event: those that it alone decides are cancelled or released together.

local function is_one(names, name) return #names == 1 and names[1] == name end

-- cancel or release where nothing else ties the task, and nothing has to be asked but whether the event has come.
local function lone_fate(plan, bound, state, blocked, name)
  if bound ~= 'p' or plan.fifo or plan.unique or plan.digest or plan.after or plan.hold then return nil end
  local wait = plan.wait_for
  if plan.cancel_on then return not wait and is_one(plan.cancel_on, name) and state == 'scheduled' and 'cancel' or nil end
  return wait and is_one(wait.all or wait.any, name) and state == 'held' and blocked == 'facts' and 'release' or nil
end

local FATE = {}

-- Their listeners stay until all is written: who stops half-way tells them once more.
FATE.cancel = function(q, name, tasks, now)
  local scores, ids, members = {}, {}, {}
  for i, task in ipairs(tasks) do
    local keep = number_or('retention_ms', task.retention, KEEP_FINISHED) or KEEP_FINISHED
    scores[2 * i - 1], scores[2 * i] = text(now + math.max(keep, KEEP_TIED)), task.id
    ids[i], members[i] = task.id, q.name .. '/' .. task.id
  end
  redis.call('ZADD', q.finished, unpack(scores))
  for _, id in ipairs(ids) do
    redis.call('HSET', q.task .. id, 'state', 'cancelled', 'finished_at', text(now), 'reason', 'event ' .. name)
    event(q, 'cancelled', id)
  end
  count(q, now, 'cancelled', #ids)
  redis.call('ZREM', q.due, unpack(ids))
  redis.call('ZREM', q.prefix .. 'listeners:' .. name, unpack(members))
end

FATE.release = function(q, _, tasks, now)
  local scores, ids = {}, {}
  for i, task in ipairs(tasks) do
    scores[2 * i - 1], scores[2 * i] = text(due_again('facts', task.due_at, task.delay, now)), task.id
    ids[i] = task.id
  end
  redis.call('ZADD', q.due, unpack(scores))
  for i, id in ipairs(ids) do
    redis.call('HSET', q.task .. id, 'state', 'scheduled', 'heard', 1, 'blocked', '', 'delay_ms', '')
    redis.call('HDEL', q.task .. id, 'blocked', 'delay_ms')
    event(q, 'released', id, 'after', 'facts', 'due', scores[2 * i - 1])
  end
  redis.call('ZREM', q.held, unpack(ids))
end

-- Answers how many were told, the last of them where there may be more, and how much of the limit that used: one that has to
-- be looked at alone counts as two.
local function tell_listeners(prefix, name, last, limit, now)
  local page, there = page_after(prefix .. 'listeners:' .. name, last, limit), is_fact_there(prefix, name)
  local together, used, told = {cancel = {}, release = {}}, 0, 0
  for i, member in ipairs(page) do
    if used >= limit then break end
    local q, id = named(prefix, member)
    local f = there and q and read(q.task .. id, 'state', 'conditions', 'bound', 'blocked', 'retention_ms', 'due_at', 'delay_ms')
    local plan = f and f[2] and plan_of(f[2])
    local fate = plan and lone_fate(plan, f[3], state_of(f[1]), f[4], name)
    if fate then
      local list = together[fate][q] or {}
      together[fate][q] = list
      list[#list + 1] = {id = id, retention = f[5], due_at = f[6], delay = f[7]}
    else
      hear(prefix, member, name, now)
    end
    used, told = used + (fate and 1 or 2), i
  end
  for fate, lists in pairs(together) do
    for q, list in pairs(lists) do FATE[fate](q, name, list, now) end
  end
  return told, (told < #page or #page == limit) and page[told] or nil, used
end

-- crowd: telling many listeners of an event: those that it alone decides are cancelled or released together.

local function is_one(names, name) return #names == 1 and names[1] == name end

-- cancel or release where nothing else ties the task, and nothing has to be asked but whether the event has come.
local function lone_fate(plan, bound, state, blocked, name)
  if bound ~= 'p' or plan.fifo or plan.unique or plan.digest or plan.after or plan.hold then return nil end
  local wait = plan.wait_for
  if plan.cancel_on then return not wait and is_one(plan.cancel_on, name) and state == 'scheduled' and 'cancel' or nil end
  return wait and is_one(wait.all or wait.any, name) and state == 'held' and blocked == 'facts' and 'release' or nil
end

-- Answers how many were told, the last of them where there may be more, and how much of the limit that used: one that has to
-- be looked at alone counts as two.
local function tell_listeners(prefix, name, last, limit, now)
  local page, there = page_after(prefix .. 'listeners:' .. name, last, limit), is_fact_there(prefix, name)
  local together, used, told = {cancel = {}, release = {}}, 0, 0
  for i, member in ipairs(page) do
    if used >= limit then break end
    local q, id = named(prefix, member)
    local f = there and q and read(q.task .. id, 'state', 'conditions', 'bound', 'blocked', 'retention_ms', 'due_at', 'delay_ms',
      'type', 'priority', 'expires_at')
    local plan = f and f[2] and plan_of(f[2])
    local fate = plan and lone_fate(plan, f[3], state_of(f[1]), f[4], name)
    if fate then
      local list = together[fate][q] or {}
      together[fate][q] = list
      list[#list + 1] = {id = id, retention = f[5], due_at = f[6], delay = f[7], type = f[8], priority = f[9] or 'normal',
        expires_at = f[10], only_waits = next(plan, next(plan)) == nil, due = false, runs = false}
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

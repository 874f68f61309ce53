-- crowd: telling many listeners of an event: those that it alone decides are cancelled or released together. That it
-- happened is enough: its fact may have expired before all were told.

local GIVE_UP = 86400000                                -- ms for which listeners of a queue with unusable keys are told again

local function is_one(names, name) return #names == 1 and names[1] == name end

-- cancel or release where nothing else ties the task, and nothing has to be asked but whether the event has come.
local function lone_fate(plan, bound, state, blocked, name)
  if bound ~= 'p' or plan.fifo or plan.unique or plan.digest or plan.after or plan.hold then return nil end
  local wait = plan.wait_for
  if plan.cancel_on then return not wait and is_one(plan.cancel_on, name) and state == 'scheduled' and 'cancel' or nil end
  return wait and is_one(wait.all or wait.any, name) and state == 'held' and blocked == 'facts' and 'release' or nil
end

-- What becomes of one listener, where the event alone decides; the others are told here. Who came after the event has
-- looked for its fact when it was entered. Answers how much of the limit that used, and whether it has to be told again.
local function tell_one(together, prefix, member, name, since, now)
  local q, id = named(prefix, member)
  local f = q and read(q.task .. id, 'state', 'conditions', 'bound', 'blocked', 'retention_ms', 'due_at', 'delay_ms', 'type',
    'priority', 'expires_at', 'created_at')
  if f and (whole(f[11] or '', 1e11, 4e12) or 0) > since then return 1 end
  local plan = f and f[2] and plan_of(f[2])
  local fate = plan and lone_fate(plan, f[3], state_of(f[1]), f[4], name)
  if not fate then
    return 2, hear(prefix, member, name, now)
  end
  local list = together[fate][q] or {}
  together[fate][q] = list
  list[#list + 1] = {id = id, member = member, retention = f[5], due_at = f[6], delay = f[7], type = f[8],
    priority = f[9] or 'normal', expires_at = f[10], only_waits = next(plan, next(plan)) == nil, due = false, runs = false}
  return 1
end

-- Those of one queue together; where a key of it cannot be used, one by one. Answers whether one could not be told.
local function tell_together(prefix, fate, q, list, name, now)
  if pcall(FATE[fate], q, name, list, now) then return false end
  local failed = false
  for _, task in ipairs(list) do
    local ok, trouble = pcall(hear, prefix, task.member, name, now)
    failed = failed or not ok and is_left(prefix, task.member, now, trouble)
  end
  return failed
end

-- since: when the event happened, ms. Answers how many were told, the last of them where there may be more, how much of the
-- limit that used (one that has to be looked at alone counts as two), and whether one could not be told.
local function tell_listeners(prefix, name, last, limit, since, now)
  local page = page_after(prefix .. 'listeners:' .. name, last, limit)
  local together, used, told, failed = {cancel = {}, release = {}}, 0, 0, false
  while_it_happens(name, function()
    for i, member in ipairs(page) do
      if used >= limit or i > 1 and is_over(math.min(8 * limit, 600)) then break end
      weigh(1)
      local ok, work, again = pcall(tell_one, together, prefix, member, name, since, now)
      if not ok then again = is_left(prefix, member, now, work) end
      used, told, failed = used + (ok and work or 2), i, failed or again
    end
    for fate, lists in pairs(together) do
      for q, list in pairs(lists) do failed = tell_together(prefix, fate, q, list, name, now) or failed end
    end
  end)
  return told, (told < #page or #page == limit) and page[told] or nil, used, failed
end

-- The cursor of an event's listeners: when it happened, ! where one could not be told, and the last that was told.
local function telling(since, failed, last)
  return text(since) .. (failed and '!' or '') .. ' ' .. last
end

-- Have the mover tell the listeners of an event, all or those after the last.
local function tell_later(prefix, name, since, failed, last, at)
  remind(prefix, 'heard/' .. name, at)
  keep_cursor(prefix, 'heard/' .. name, telling(since, failed, last))
end

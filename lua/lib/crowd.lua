-- crowd: telling many listeners of an event: those that it alone decides are cancelled or released together. That it
-- happened is enough: its fact may have expired before all were told.

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
    return 2, HEARD.hear(prefix, member, name, now)
  end
  local list = together[fate][q] or {}
  together[fate][q] = list
  list[#list + 1] = {id = id, member = member, retention = f[5], due_at = f[6], delay = f[7], type = f[8],
    priority = f[9] or 'normal', expires_at = f[10], only_waits = next(plan, next(plan)) == nil, due = false, runs = false}
  return 1
end

-- Those of one queue together; where a key of it cannot be used, one by one.
local function tell_together(prefix, fate, q, list, name, now, failed)
  if pcall(FATE[fate], q, name, list, now) then return end
  for _, task in ipairs(list) do
    local ok, trouble = pcall(HEARD.hear, prefix, task.member, name, now)
    if not ok then failed(task.member, trouble) end
  end
end

-- The cursor of an event's listeners: when it happened, ! where one could not be told, and the last that was told.
local function telling(since, failed, last)
  return text(since) .. (failed and '!' or '') .. ' ' .. last
end

-- Have the mover tell the listeners of an event, all or those after the last.
local function tell_later(prefix, name, since, last)
  remind(prefix, 'heard/' .. name, 0)
  keep_cursor(prefix, 'heard/' .. name, telling(since, false, last))
end

-- The listeners of one queue that could not be told have an item of their own: whoever may write that queue tells them. Of
-- two events the later one counts.
local function leave_to_queue(prefix, queue, name, since, at)
  local item = 'listeners/' .. queue .. '/' .. name
  remind(prefix, item, at)
  local known = whole(string.match(cursor_of(prefix, item), '^%d+') or '', 0, 1e15)
  if not known or known < since then keep_cursor(prefix, item, telling(since, false, '')) end
end

-- since: when the event happened, ms. only: the queue whose listeners are told; nil: those of all. Answers how many were told,
-- the last that was looked at where there may be more, how much of the limit that used (one that has to be looked at alone
-- counts as two), and how many could not be told. Those of a queue that this caller may not write are left at once.
local function tell_listeners(prefix, name, last, limit, since, now, only)
  local page = HEARD.page_after(prefix .. 'listeners:' .. name, last, limit, only)
  local together, used, looked, left, again, denied = {cancel = {}, release = {}}, 0, 0, 0, {}, {}
  local function failed(member, trouble)
    local queue = string.match(member, '^[^/]*')
    if trouble and is_denied(trouble) then
      denied[queue] = trouble
    elseif not trouble or HEARD.is_left(prefix, member, now, trouble) then
      again[queue] = now + 60000
    else
      return
    end
    left = left + 1
  end
  while_it_happens(name, function()
    for i, member in ipairs(page) do
      if used >= limit or i > 1 and is_over(math.min(8 * limit, 600)) then break end
      looked = i
      if denied[string.match(member, '^[^/]*')] then
        left = left + 1
      else
        weigh(1)
        local ok, work, is_newer = pcall(tell_one, together, prefix, member, name, since, now)
        used = used + (ok and work or 2)
        if is_newer or not ok then failed(member, not ok and work) end
      end
    end
    for fate, lists in pairs(together) do
      for q, list in pairs(lists) do tell_together(prefix, fate, q, list, name, now, failed) end
    end
  end)
  if only and denied[only] then error(denied[only], 0) end
  for queue in pairs(denied) do again[queue] = now end
  for queue, at in pairs(only and {} or again) do leave_to_queue(prefix, queue, name, since, at) end
  local at = (looked < #page or #page == limit) and page[looked]
  local queue = at and string.match(at, '^[^/]*')
  return looked - left, at and (denied[queue] and queue .. '0' or at), used, left   -- 0 follows /
end

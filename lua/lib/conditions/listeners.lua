-- listeners: telling an event to many listeners. Those for whom the event alone decides are cancelled or released together.
-- That the event happened is enough: its fact may have expired before all were told.
--
-- USES  budget, clock, keys, check, hash, errors, events, stats, streams, endings, conditions, facts, reminders, holds
-- USES  pauses, notify

local DECIDED = {}

-- Cancel tasks together. They stay among the listeners until all is written, so that a call that stops half-way is repeated.
function DECIDED.cancel(q, name, tasks, now)
  local scores, ids, members = {}, {}, {}
  for i, task in ipairs(tasks) do
    local keep = check.number_or('retention_ms', task.retention, endings.KEEP_FINISHED) or endings.KEEP_FINISHED
    scores[2 * i - 1], scores[2 * i] = clock.text(now + math.max(keep, endings.KEEP_LINKED)), task.id
    ids[i], members[i] = task.id, q.name .. '/' .. task.id
  end
  redis.call('ZADD', q.finished, unpack(scores))
  for _, id in ipairs(ids) do
    redis.call('HSET', q.task .. id, 'state', 'cancelled', 'finished_at', clock.text(now), 'reason', 'event ' .. name)
    events.tell(q, 'cancelled', id)
  end
  stats.count(q, now, 'cancelled', #ids)
  redis.call('ZREM', q.due, unpack(ids))
  redis.call('ZREM', q.prefix .. 'listeners:' .. name, unpack(members))
end

-- Whether a task is due and nothing is left to be decided; then promote need not look at it.
local function runs_now(q, task, now)
  if not task.only_waits or task.due > now or not keys.is_name(task.type) or not check.PRIORITIES[task.priority] then
    return false
  end
  local expires = check.number_or('expires_at', task.expires_at, 4e12)
  return expires and expires > now and not pauses.by(q, task.type, task.id, now)
end

function DECIDED.release(q, _, tasks, now)
  local scores, ids, ready = {}, {}, 0
  for i, task in ipairs(tasks) do
    task.due, ids[i] = holds.due_time('facts', task.due_at, task.delay, now), task.id
    task.runs = runs_now(q, task, now)
    if not task.runs then scores[#scores + 1], scores[#scores + 2] = clock.text(task.due), task.id end
  end
  if #scores > 0 then redis.call('ZADD', q.due, unpack(scores)) end
  for _, task in ipairs(tasks) do
    local id, due = task.id, clock.text(task.due)
    if task.runs then
      local entry = streams.add(q, id, task.priority)
      redis.call('HSET', q.task .. id, 'state', 'ready', 'entry', entry, 'due_at', due, 'heard', 1, 'blocked', '',
        'delay_ms', '')
      ready = ready + 1
    else
      redis.call('HSET', q.task .. id, 'state', 'scheduled', 'heard', 1, 'blocked', '', 'delay_ms', '')
    end
    redis.call('HDEL', q.task .. id, 'blocked', 'delay_ms')
    events.tell(q, 'released', id, 'after', 'facts', 'due', due)
  end
  stats.count(q, now, 'promoted', ready)
  redis.call('ZREM', q.held, unpack(ids))
end
local function is_one(names, name) return #names == 1 and names[1] == name end

-- cancel or release if the event alone decides what becomes of the task: it has no other conditions. Else nil.
local function decided_alone(plan, bound, state, held_for, name)
  if bound ~= 'p' or plan.fifo or plan.unique or plan.digest or plan.after or plan.hold then return nil end
  local wait = plan.wait_for
  if plan.cancel_on then return not wait and is_one(plan.cancel_on, name) and state == 'scheduled' and 'cancel' or nil end
  return wait and is_one(wait.all or wait.any, name) and state == 'held' and held_for == 'facts' and 'release' or nil
end

-- Add one listener to those for whom the event alone decides, or tell it here. A task that was entered after the event has
-- looked for the fact itself. Answers how much of the limit that used, and whether the listener has to be told again.
local function tell_one(together, prefix, member, name, since, now)
  local q, id = notify.task_of(prefix, member)
  local f = q and hash.read(q.task .. id, 'state', 'conditions', 'bound', 'blocked', 'retention_ms', 'due_at',
    'delay_ms', 'type',
    'priority', 'expires_at', 'created_at')
  if f and (check.whole(f[11] or '', 1e11, 4e12) or 0) > since then return 1 end
  local plan = f and f[2] and conditions.of(f[2])
  local ending = plan and decided_alone(plan, f[3], hash.state_of(f[1]), f[4], name)
  if not ending then
    return 2, notify.listener(prefix, member, name, now)
  end
  local list = together[ending][q] or {}
  together[ending][q] = list
  list[#list + 1] = {id = id, member = member, retention = f[5], due_at = f[6], delay = f[7], type = f[8],
    priority = f[9] or 'normal', expires_at = f[10], only_waits = next(plan, next(plan)) == nil, due = false, runs = false}
  return 1
end

-- Cancel or release tasks of one queue together; one by one if that fails, because a key cannot be used.
local function tell_together(prefix, ending, q, list, name, now, failed)
  if pcall(DECIDED[ending], q, name, list, now) then return end
  for _, task in ipairs(list) do
    local ok, trouble = pcall(notify.listener, prefix, task.member, name, now)
    if not ok then failed(task.member, trouble) end
  end
end

-- The cursor of an event's listeners: when it happened, ! if one could not be told, and the last that was told.
function listeners.cursor(since, failed, last)
  return clock.text(since) .. (failed and '!' or '') .. ' ' .. last
end

-- Have the mover tell the listeners of an event, all or those after the last.
function listeners.tell_later(prefix, name, since, last)
  reminders.add(prefix, 'heard/' .. name, 0)
  reminders.keep_cursor(prefix, 'heard/' .. name, listeners.cursor(since, false, last))
end

-- Listeners of one queue that could not be told get an item of their own in the agenda: a caller that may write the queue
-- tells them. Of two events the later one counts.
local function leave_to_queue(prefix, queue, name, since, at)
  local item = 'listeners/' .. queue .. '/' .. name
  reminders.add(prefix, item, at)
  local known = check.whole(string.match(reminders.cursor(prefix, item), '^%d+') or '', 0, 1e15)
  if not known or known < since then reminders.keep_cursor(prefix, item, listeners.cursor(since, false, '')) end
end

-- Tell an event to listeners. since: when it happened, ms. only: the queue whose listeners are told; nil: all queues.
-- Answers how many were told; the last that was looked at, if there may be more; how much of the limit that used (a task
-- that is looked at alone counts as two); and how many could not be told. Listeners of a queue that this caller may not
-- write are left at once.
function listeners.tell(prefix, name, last, limit, since, now, only)
  local page = notify.page_after(prefix .. 'listeners:' .. name, last, limit, only)
  local together, used, looked, left, again, denied = {cancel = {}, release = {}}, 0, 0, 0, {}, {}
  local function failed(member, trouble)
    local queue = string.match(member, '^[^/]*')
    if trouble and errors.is_denied(trouble) then
      denied[queue] = trouble
    elseif not trouble or notify.is_left(prefix, member, now, trouble) then
      again[queue] = now + 60000
    else
      return
    end
    left = left + 1
  end
  facts.while_it_happens(name, function()
    for i, member in ipairs(page) do
      if used >= limit or i > 1 and budget.is_spent(math.min(8 * limit, 600)) then break end
      looked = i
      if denied[string.match(member, '^[^/]*')] then
        left = left + 1
      else
        budget.spend(1)
        local ok, work, is_newer = pcall(tell_one, together, prefix, member, name, since, now)
        used = used + (ok and work or 2)
        if is_newer or not ok then failed(member, not ok and work) end
      end
    end
    for ending, lists in pairs(together) do
      for q, list in pairs(lists) do tell_together(prefix, ending, q, list, name, now, failed) end
    end
  end)
  if only and denied[only] then error(denied[only], 0) end
  for queue in pairs(denied) do again[queue] = now end
  for queue, at in pairs(only and {} or again) do leave_to_queue(prefix, queue, name, since, at) end
  local at = (looked < #page or #page == limit) and page[looked]
  local queue = at and string.match(at, '^[^/]*')
  return looked - left, at and (denied[queue] and queue .. '0' or at), used, left   -- 0 follows /
end

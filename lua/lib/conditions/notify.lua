-- notify: telling what happened to those who wait for it: the listeners of a fact, the children of a task.
--
-- USES  budget, keys, safe, hash, errors, isolation, cancel, conditions, reminders, verdicts

local RESULT = 8192                                     -- bytes of a parent's result that its children keep

function notify.task_of(prefix, member)
  local queue, id = string.match(member, '^([^/]+)/(.+)$')
  if queue and keys.is_name(queue) and keys.is_id(id) then return keys.open(prefix .. 'due:' .. queue), id end
end

-- A page of a set whose members all have the score 0, after the member `last`. only: members of that queue.
function notify.page_after(key, last, limit, only)
  local first, past = '-', '+'
  if only and only ~= '' then first, past = '[' .. only .. '/', '(' .. only .. '0' end   -- 0 follows /
  if last ~= '' then first = '(' .. last end
  return safe.call('ZRANGE', key, first, past, 'BYLEX', 'LIMIT', 0, limit) or {}
end

local function is_among(names, name)
  for _, one in ipairs(names or {}) do
    if one == name then return true end
  end
  return false
end

-- Tell a listener of an event. Answers whether it has to be told again, by a newer redsched that knows its conditions.
function notify.listener(prefix, member, name, now)
  local key = prefix .. 'listeners:' .. name
  local q, id = notify.task_of(prefix, member)
  local found = q and hash.read(q.task .. id, 'state', 'conditions')
  local state, plan, newer = found and hash.state_of(found[1]), nil, false
  if found and found[2] then plan, newer = conditions.known(found[2]) end
  if not plan or not hash.LIVE[state] then
    redis.call('ZREM', key, member)
  elseif is_among(plan.cancel_on, name) then
    cancel.task(q, id, now, 'event ' .. name)
  elseif state == 'held' then
    verdicts.look_again(q, id, now)
  end
  return newer and hash.LIVE[state] and not is_among(conditions.facts(plan), name)
end

-- Tell a child that a parent has ended. Answers the same as notify.listener.
local function tell_child(prefix, member, parent, state, result, now)
  local q, id = notify.task_of(prefix, member)
  local found = q and hash.read(q.task .. id, 'conditions', 'blocked')
  local plan, newer = nil, false
  if found and found[1] then plan, newer = conditions.known(found[1]) end
  if newer and not plan.after then return true end
  if not plan or not plan.after then return end
  local known = safe.call('HGET', q.parents .. id, parent)
  -- an earlier call may have stopped before this
  if known and known ~= '' and found[2] == 'parents' then verdicts.look_again(q, id, now) end
  if known ~= '' then return end
  local failed, after = state ~= 'completed', plan.after
  if failed and state ~= 'gone' and after.otherwise == 'wait' and (after.on or 'success') == 'success' then return end
  local told = redis.call('HMGET', q.parents .. id, ':left', ':failed', ':first')
  local first = told[3] and told[3] ~= '' and told[3] or failed and parent .. ' ' .. state or ''
  redis.call('HSET', q.parents .. id, parent, state .. ' ' .. result, ':left', (tonumber(told[1] or '') or 1) - 1,
    ':failed', (tonumber(told[2] or '') or 0) + (failed and 1 or 0), ':first', first)
  verdicts.look_again(q, id, now)
end

-- Whether a task that could not be told has to be told later: the cause is its queue or the rights of the caller. A task
-- that is the cause itself is set aside.
function notify.is_left(prefix, member, now, trouble)
  local q, id = notify.task_of(prefix, member)
  if not q or isolation.set_aside(q, id, now, trouble) ~= 'own' then return true end
  redis.call('ZREM', q.held, id)
  redis.call('ZREM', q.due, id)
  return false
end

-- Tell the children of a task that has ended in this state. Answers how many were looked at; the last, if there may be more;
-- and whether some have to be told again. removed: the task was removed, and its children have a key of their own; else gone
-- means that its hash is missing. only: '', or the queue whose children are told.
function notify.children(prefix, state, parent, last, limit, now, removed, only)
  local q, id = notify.task_of(prefix, parent)
  local found = q and not removed and hash.read(q.task .. id, 'state')
  if not q or found and hash.state_of(found[1]) ~= state then return 0 end   -- the task goes on, or another item tells its end
  local key = removed and q.children .. id .. '/' .. state or q.children .. id
  local page, told = notify.page_after(key, last, limit, only), {}
  local result = state == 'completed' and safe.call('HGET', q.outcome .. id, 'result') or ''
  if #result > RESULT then result = '' end
  local again, looked = false, 0
  errors.for_each(#page, 1, function(i)
    if i > 1 and budget.is_spent() then return true end
    budget.spend(1)
    looked = i
    local is_of_later = removed and safe.call('ZSCORE', q.children .. id, page[i])
    if not is_of_later and tell_child(prefix, page[i], parent, state, result, now) then
      again = true
    else
      told[#told + 1] = page[i]
    end
  end, function(i, trouble)
    if errors.is_of_server(trouble) then error(trouble, 0) end
    if not notify.is_left(prefix, page[i], now, trouble) then
      told[#told + 1] = page[i]
    elseif only ~= '' then
      error(trouble, 0)
    else
      local item = (removed and 'removed/' or 'ended/') .. state .. '/' .. parent
      reminders.add(prefix, item .. '/' .. string.match(page[i], '^[^/]*'), 0)
    end
  end)
  if (removed or state == 'gone') and #told > 0 then redis.call('ZREM', key, unpack(told)) end
  return looked, (looked < #page or #page == limit) and page[looked] or nil, again
end

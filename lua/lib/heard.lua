-- heard: telling of what happened to those who wait for it: the listeners of a fact, the children of a task.

local RESULT = 8192                                     -- bytes of a parent's result that its children keep

local function named(prefix, member)
  local queue, id = string.match(member, '^([^/]+)/(.+)$')
  if queue and is_name(queue) and is_id(id) then return open(prefix .. 'due:' .. queue), id end
end

-- A page of a set whose members all have the score 0, after a member.
local function page_after(key, last, limit)
  return soft('ZRANGE', key, last == '' and '-' or '(' .. last, '+', 'BYLEX', 'LIMIT', 0, limit) or {}
end

local function is_among(names, name)
  for _, one in ipairs(names or {}) do
    if one == name then return true end
  end
  return false
end

local function hear(prefix, member, name, now)
  local key = prefix .. 'listeners:' .. name
  local q, id = named(prefix, member)
  local found = q and read(q.task .. id, 'state', 'conditions')
  local state, plan = found and state_of(found[1]), found and found[2] and plan_of(found[2])
  if not plan or not LIVE[state] then
    redis.call('ZREM', key, member)
  elseif is_among(plan.cancel_on, name) then
    stop_task(q, id, now, 'event ' .. name)
  elseif state == 'held' then
    consider(q, id, now)
  end
end

local function tell_child(prefix, member, parent, state, result, now)
  local q, id = named(prefix, member)
  local found = q and read(q.task .. id, 'conditions')
  local plan = found and found[1] and plan_of(found[1])
  if not plan or not plan.after or soft('HGET', q.parents .. id, parent) ~= '' then return end
  local failed, after = state ~= 'completed', plan.after
  if failed and state ~= 'gone' and after.otherwise == 'wait' and (after.on or 'success') == 'success' then return end
  local told = redis.call('HMGET', q.parents .. id, ':left', ':failed', ':first')
  redis.call('HSET', q.parents .. id, parent, state .. ' ' .. result, ':left', (tonumber(told[1] or '') or 1) - 1,
    ':failed', (tonumber(told[2] or '') or 0) + (failed and 1 or 0), ':first', told[3] or failed and parent .. ' ' .. state or '')
  consider(q, id, now)
end

-- Tell the children of a task that has ended in this state; answers how many, and the last where there may be more.
-- removed: nothing is left of it, and they have left the key that a later task of its id has; else gone means that its hash
-- is not there.
local function tell_children(prefix, state, parent, last, limit, now, removed)
  local q, id = named(prefix, parent)
  local found = q and not removed and read(q.task .. id, 'state')
  if not q or found and state_of(found[1]) ~= state then return 0 end   -- it goes on, or its end is told by another item
  local key = removed and q.children .. id .. '/' .. state or q.children .. id
  local page = page_after(key, last, limit)
  local result = state == 'completed' and soft('HGET', q.outcome .. id, 'result') or ''
  if #result > RESULT then result = '' end
  for _, member in ipairs(page) do
    local is_of_later = removed and soft('ZSCORE', q.children .. id, member)
    if not is_of_later then tell_child(prefix, member, parent, state, result, now) end
  end
  if #page == limit then return #page, page[limit] end
  if removed or state == 'gone' then redis.call('UNLINK', key) end
  return #page
end

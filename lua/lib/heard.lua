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

-- Answers whether it has to be told again, by a newer redsched that knows what the event is to it.
local function hear(prefix, member, name, now)
  local key = prefix .. 'listeners:' .. name
  local q, id = named(prefix, member)
  local found = q and read(q.task .. id, 'state', 'conditions')
  local state, plan, newer = found and state_of(found[1]), nil, false
  if found and found[2] then plan, newer = known_plan(found[2]) end
  if not plan or not LIVE[state] then
    redis.call('ZREM', key, member)
  elseif is_among(plan.cancel_on, name) then
    stop_task(q, id, now, 'event ' .. name)
  elseif state == 'held' then
    consider(q, id, now)
  end
  return newer and LIVE[state] and not is_among(facts_of(plan), name)
end

-- Like hear.
local function tell_child(prefix, member, parent, state, result, now)
  local q, id = named(prefix, member)
  local found = q and read(q.task .. id, 'conditions')
  local plan, newer = nil, false
  if found and found[1] then plan, newer = known_plan(found[1]) end
  if newer and not plan.after then return true end
  if not plan or not plan.after or soft('HGET', q.parents .. id, parent) ~= '' then return end
  local failed, after = state ~= 'completed', plan.after
  if failed and state ~= 'gone' and after.otherwise == 'wait' and (after.on or 'success') == 'success' then return end
  local told = redis.call('HMGET', q.parents .. id, ':left', ':failed', ':first')
  redis.call('HSET', q.parents .. id, parent, state .. ' ' .. result, ':left', (tonumber(told[1] or '') or 1) - 1,
    ':failed', (tonumber(told[2] or '') or 0) + (failed and 1 or 0), ':first', told[3] or failed and parent .. ' ' .. state or '')
  consider(q, id, now)
end

-- Tell the children of a task that has ended; answers how many, the last where there may be more, and whether some have to be
-- told again. gone: it is removed, and with it what named its children.
local function tell_children(prefix, state, parent, last, limit, now)
  local q, id = named(prefix, parent)
  local now_is = q and soft('HGET', q.task .. id, 'state')
  if not q or now_is and LIVE[now_is] then return 0 end -- it goes on: revived, or its end was not written after all
  local page = page_after(q.children .. id, last, limit)
  local result = state == 'completed' and soft('HGET', q.outcome .. id, 'result') or ''
  if #result > RESULT then result = '' end
  local again = false
  for _, member in ipairs(page) do again = tell_child(prefix, member, parent, state, result, now) or again end
  if #page == limit then return #page, page[limit] end
  if state == 'gone' and not again then redis.call('UNLINK', q.children .. id) end
  return #page, nil, again
end

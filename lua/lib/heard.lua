-- heard: telling of what happened to those who wait for it: the listeners of a fact, the children of a task.

local HEARD = {}
local RESULT = 8192                                     -- bytes of a parent's result that its children keep

local function named(prefix, member)
  local queue, id = string.match(member, '^([^/]+)/(.+)$')
  if queue and is_name(queue) and is_id(id) then return open(prefix .. 'due:' .. queue), id end
end

-- A page of a set whose members all have the score 0, after a member; only: those of that queue.
function HEARD.page_after(key, last, limit, only)
  local first, past = '-', '+'
  if only and only ~= '' then first, past = '[' .. only .. '/', '(' .. only .. '0' end    -- 0 follows /
  if last ~= '' then first = '(' .. last end
  return soft('ZRANGE', key, first, past, 'BYLEX', 'LIMIT', 0, limit) or {}
end

local function is_among(names, name)
  for _, one in ipairs(names or {}) do
    if one == name then return true end
  end
  return false
end

-- Answers whether it has to be told again, by a newer redsched that knows what the event is to it.
function HEARD.hear(prefix, member, name, now)
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
  local found = q and read(q.task .. id, 'conditions', 'blocked')
  local plan, newer = nil, false
  if found and found[1] then plan, newer = known_plan(found[1]) end
  if newer and not plan.after then return true end
  if not plan or not plan.after then return end
  local known = soft('HGET', q.parents .. id, parent)
  if known and known ~= '' and found[2] == 'parents' then consider(q, id, now) end   -- a call may have stopped before that
  if known ~= '' then return end
  local failed, after = state ~= 'completed', plan.after
  if failed and state ~= 'gone' and after.otherwise == 'wait' and (after.on or 'success') == 'success' then return end
  local told = redis.call('HMGET', q.parents .. id, ':left', ':failed', ':first')
  local first = told[3] and told[3] ~= '' and told[3] or failed and parent .. ' ' .. state or ''
  redis.call('HSET', q.parents .. id, parent, state .. ' ' .. result, ':left', (tonumber(told[1] or '') or 1) - 1,
    ':failed', (tonumber(told[2] or '') or 0) + (failed and 1 or 0), ':first', first)
  consider(q, id, now)
end

-- Whether one that could not be told has to be told later: its queue is to blame, or the rights of the caller. Any other is
-- set aside.
function HEARD.is_left(prefix, member, now, trouble)
  local q, id = named(prefix, member)
  if not q or set_aside(q, id, now, trouble) ~= 'own' then return true end
  redis.call('ZREM', q.held, id)
  redis.call('ZREM', q.due, id)
  return false
end

-- Tell the children of a task that has ended in this state; answers how many, the last where there may be more, and whether
-- some have to be told again. removed: nothing is left of it, and they have left the key that a later task of its id has;
-- else gone means that its hash is not there. only: '', or the queue whose children are told.
function HEARD.tell_children(prefix, state, parent, last, limit, now, removed, only)
  local q, id = named(prefix, parent)
  local found = q and not removed and read(q.task .. id, 'state')
  if not q or found and state_of(found[1]) ~= state then return 0 end   -- it goes on, or its end is told by another item
  local key = removed and q.children .. id .. '/' .. state or q.children .. id
  local page, told = HEARD.page_after(key, last, limit, only), {}
  local result = state == 'completed' and soft('HGET', q.outcome .. id, 'result') or ''
  if #result > RESULT then result = '' end
  local again, looked = false, 0
  for_each(#page, 1, function(i)
    if i > 1 and is_over() then return true end
    weigh(1)
    looked = i
    local is_of_later = removed and soft('ZSCORE', q.children .. id, page[i])
    if not is_of_later and tell_child(prefix, page[i], parent, state, result, now) then
      again = true
    else
      told[#told + 1] = page[i]
    end
  end, function(i, trouble)
    if is_everybodys(trouble) then error(trouble, 0) end
    if not HEARD.is_left(prefix, page[i], now, trouble) then
      told[#told + 1] = page[i]
    elseif only ~= '' then
      error(trouble, 0)
    else
      local item = (removed and 'removed/' or 'ended/') .. state .. '/' .. parent
      remind(prefix, item .. '/' .. string.match(page[i], '^[^/]*'), 0)
    end
  end)
  if (removed or state == 'gone') and #told > 0 then redis.call('ZREM', key, unpack(told)) end
  return looked, (looked < #page or #page == limit) and page[looked] or nil, again
end

-- parent_rules: what the hash of a child says of its parents, compared with the parents themselves.
--
-- USES  budget, keys, safe, hash, schema, conditions, reminders, circles

-- Whether a child goes on waiting for a parent that has failed, until somebody revives the parent and it completes.
local function is_patient(after, state)
  return state and state ~= 'completed' and after.otherwise == 'wait' and (after.on or 'success') == 'success'
end

-- Count the parents of a child again; nil if it is no live child. open: the parents whose end the child has not learned.
function parent_rules.count(q, id)
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'conditions', 'bound')
  local plan = found and hash.LIVE[hash.state_of(found[1])] and found[2] and conditions.known(found[2])
  local flat = plan and plan.after and (safe.call('HGETALL', q.parents .. id) or {})
  if not flat then return nil end
  local c = {state = hash.state_of(found[1]), bound = found[3] or '', after = plan.after, open = {}, failed = 0,
    first = false, left = 0, failures = 0, n = #flat / 2}
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if name == ':left' then
      c.left = tonumber(value)
    elseif name == ':failed' then
      c.failures = tonumber(value)
    elseif name ~= ':first' and value == '' then
      c.open[#c.open + 1] = name
    elseif name ~= ':first' and not string.find(value, '^completed ') then
      c.failed, c.first = c.failed + 1, c.first or name .. ' ' .. string.match(value, '^%S*')
    end
  end
  return c
end

-- What became of a parent that was removed before this child was told: gone or completed.
local function removed_as(home, parent, member)
  for _, word in ipairs({'gone', 'completed'}) do
    if safe.call('ZSCORE', home.children .. parent .. '/' .. word, member) then return word end
  end
end

-- Check a parent whose end its child has not learned. Answers the rule that is broken (parents, untold or false), the
-- parent's queue, id and state, and what became of it if it was removed, whatever has its id now.
function parent_rules.parent_fault(q, id, name, after)
  if not schema.is_ref(name) then return 'parents' end
  local home, parent = conditions.resolve(q, name)
  local found = hash.read(home.task .. parent, 'state', 'bound')
  local state = found and hash.state_of(found[1])
  local member, broken = q.name .. '/' .. id, false
  local is_named = safe.call('ZSCORE', home.children .. parent, member)
  local removed = not is_named and removed_as(home, parent, member)
  if removed then
    broken = not reminders.is_set(q.prefix, 'removed/' .. removed .. '/' .. name) and 'untold'
  elseif not is_named or found and not string.find(found[2] or '', 'c', 1, true) then
    broken = 'parents'
  elseif not hash.LIVE[state or ''] and not (found and is_patient(after, state)) then
    local there = reminders.is_set(q.prefix, 'ended/' .. (state or 'gone') .. '/' .. name)
    if not there and not reminders.is_set(q.prefix, 'ended/gone/' .. name) then broken = 'untold' end
  end
  return broken, home, parent, state, removed
end

local MOST_INSPECTED = 64                               -- looked at for one child

-- Whether a child waits for itself, and how much was looked at for that. A task without children cannot be part of a circle.
local function circle_fault(q, id, c)
  local waits = c.state == 'held' or c.state == 'scheduled'
  if not waits or #c.open == 0 or not string.find(c.bound, 'c', 1, true) then return false, 0 end
  local refs = {}
  for _, name in ipairs(c.open) do
    if circles.awaits(q, id, name) then refs[#refs + 1] = name end
  end
  local found, looked = circles.find(q, id, refs, {}, MOST_INSPECTED)
  return found == 'circle' and found, looked
end

-- The first rule that the hash of a child breaks, or false, and how many parents were looked at.
function parent_rules.fault(q, id)
  if safe.type_of(q.task .. id) == 'none' then return 'orphan' end
  local c = parent_rules.count(q, id)
  if not c then return false end
  local broken = (c.left ~= #c.open or c.failures ~= c.failed) and 'parents'
  for _, name in ipairs(c.open) do broken = broken or parent_rules.parent_fault(q, id, name, c.after) end
  if broken then return broken, c.n end
  local circle, looked = circle_fault(q, id, c)
  return circle, c.n + looked
end

-- From how many parents on a child is judged in parts, and how many are read at once.
local LARGE, PART = 300, 100

-- The queue and the id of a child that has too many parents for one call; nil if the key is not of such a child.
function parent_rules.large(prefix, name)
  local queue, id = string.match(name, '^parents:([^:]+):(.+)$')
  local q = queue and keys.is_name(queue) and keys.is_id(id) and keys.open(prefix .. 'due:' .. queue)
  return q and (safe.call('HLEN', q.parents .. id) or 0) > LARGE and safe.type_of(q.task .. id) ~= 'none' and q or nil, id
end

-- Judge a part of the parents of such a child. Answers the first rule that they break, or false, and where the next part
-- goes on: the cursor of a scan, how many parents were open and failed so far, and what the hash said of that at first. If
-- the hash says something else at the end, nothing is reported.
function parent_rules.judge_part(q, id, from)
  local key, at = q.parents .. id, {}
  for word in string.gmatch(from, '%S+') do at[#at + 1] = word end
  local found = hash.read(q.task .. id, 'state', 'conditions')
  local plan = found and hash.LIVE[hash.state_of(found[1])] and found[2] and conditions.known(found[2])
  if not plan or not plan.after then return false end
  local told = redis.call('HMGET', key, ':left', ':failed')
  local scan, open, failed, left, failures = at[1] or '0', tonumber(at[2] or 0), tonumber(at[3] or 0), at[4]
    or told[1], at[5] or told[2]
  repeat
    local page = redis.call('HSCAN', key, scan, 'COUNT', PART)
    for i = 1, #page[2], 2 do
      local name, value = page[2][i], page[2][i + 1]
      budget.spend(0.5 + #value / 16384)
      if value == '' and string.byte(name) ~= 58 then
        local broken = parent_rules.parent_fault(q, id, name, plan.after)
        if broken then return broken end
        open = open + 1
        budget.spend(2)
      elseif string.byte(name) ~= 58 and not string.find(value, '^completed ') then
        failed = failed + 1
      end
    end
    scan = page[1]
  until scan == '0' or budget.is_spent()
  if scan ~= '0' then return false, table.concat({scan, open, failed, left or '-', failures or '-'}, ' ') end
  if (told[1] or '-') ~= (left or '-') or (told[2] or '-') ~= (failures or '-') then return false end
  return (tonumber(told[1]) ~= open or tonumber(told[2] or 0) ~= failed) and 'parents'
end

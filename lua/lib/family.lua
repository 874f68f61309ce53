-- family: what the hash of a child says of its parents, against what is so.

-- Whether the end of a parent leaves its child waiting, until somebody revives the parent and it completes.
local function is_patient(after, state)
  return state and state ~= 'completed' and after.otherwise == 'wait' and (after.on or 'success') == 'success'
end

-- Counted again; nil where it is no live child. open: the parents that have not told of their end.
local function count_parents(q, id)
  local found = is_id(id) and read(q.task .. id, 'state', 'conditions', 'bound')
  local plan = found and LIVE[state_of(found[1])] and found[2] and known_plan(found[2])
  local flat = plan and plan.after and (soft('HGETALL', q.parents .. id) or {})
  if not flat then return nil end
  local c = {state = state_of(found[1]), bound = found[3] or '', after = plan.after, open = {}, failed = 0, first = false, left = 0, failures = 0, n = #flat / 2}
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

-- What became of a parent that was removed and left this child to be told of it: gone or completed.
local function removed_as(home, parent, member)
  for _, word in ipairs({'gone', 'completed'}) do
    if soft('ZSCORE', home.children .. parent .. '/' .. word, member) then return word end
  end
end

-- One that has not told yet: what is wrong with that (parents, untold or false), its queue, its id and its state; and what
-- became of it where it was removed, whatever has its id now.
local function parent_fault(q, id, name, after)
  if not is_ref(name) then return 'parents' end
  local home, parent = ref_of(q, name)
  local found = read(home.task .. parent, 'state', 'bound')
  local state = found and state_of(found[1])
  local member, broken = q.name .. '/' .. id, false
  local is_named = soft('ZSCORE', home.children .. parent, member)
  local removed = not is_named and removed_as(home, parent, member)
  if removed then
    broken = not is_reminded(q.prefix, 'removed/' .. removed .. '/' .. name) and 'untold'
  elseif not is_named or found and not string.find(found[2] or '', 'c', 1, true) then
    broken = 'parents'
  elseif not LIVE[state or ''] and not (found and is_patient(after, state)) then
    local there = is_reminded(q.prefix, 'ended/' .. (state or 'gone') .. '/' .. name)
    if not there and not is_reminded(q.prefix, 'ended/gone/' .. name) then broken = 'untold' end
  end
  return broken, home, parent, state, removed
end

local MOST_INSPECTED = 64                               -- looked at for one child

-- Whether it waits for itself; and how much was looked at for that. Nobody waits for one without children.
local function circle_fault(q, id, c)
  local waits = c.state == 'held' or c.state == 'scheduled'
  if not waits or #c.open == 0 or not string.find(c.bound, 'c', 1, true) then return false, 0 end
  local refs = {}
  for _, name in ipairs(c.open) do
    if CIRCLES.awaits(q, id, name) then refs[#refs + 1] = name end
  end
  local found, looked = CIRCLES.of(q, id, refs, {}, MOST_INSPECTED)
  return found == 'circle' and found, looked
end

-- Of the hash of a child: the first rule that it breaks, or false, and how many parents were looked at.
local function parents_fault(q, id)
  if type_of(q.task .. id) == 'none' then return 'orphan' end
  local c = count_parents(q, id)
  if not c then return false end
  local broken = (c.left ~= #c.open or c.failures ~= c.failed) and 'parents'
  for _, name in ipairs(c.open) do broken = broken or parent_fault(q, id, name, c.after) end
  if broken then return broken, c.n end
  local circle, looked = circle_fault(q, id, c)
  return circle, c.n + looked
end

-- A child that is judged in parts: from how many parents on, and how many are read at once.
local FAMILY = {large = 300, part = 100}

-- The queue and the id of a child that has too many parents for one call; nil where a key is no such one's.
function FAMILY.of(prefix, name)
  local queue, id = string.match(name, '^parents:([^:]+):(.+)$')
  local q = queue and is_name(queue) and is_id(id) and open(prefix .. 'due:' .. queue)
  return q and (soft('HLEN', q.parents .. id) or 0) > FAMILY.large and type_of(q.task .. id) ~= 'none' and q or nil, id
end

-- A part of the parents of such a child: the first rule that they break, or false, and what the next part goes on from: the cursor
-- of a scan, how many it found open and failed, and what the hash said of that at first. Where that has changed by the end,
-- nobody can tell whether it was right.
function FAMILY.judge_part(q, id, from)
  local key, at = q.parents .. id, {}
  for word in string.gmatch(from, '%S+') do at[#at + 1] = word end
  local found = read(q.task .. id, 'state', 'conditions')
  local plan = found and LIVE[state_of(found[1])] and found[2] and known_plan(found[2])
  if not plan or not plan.after then return false end
  local told = redis.call('HMGET', key, ':left', ':failed')
  local scan, open, failed, left, failures = at[1] or '0', tonumber(at[2] or 0), tonumber(at[3] or 0), at[4] or told[1], at[5] or told[2]
  repeat
    local page = redis.call('HSCAN', key, scan, 'COUNT', FAMILY.part)
    for i = 1, #page[2], 2 do
      local name, value = page[2][i], page[2][i + 1]
      weigh(0.5 + #value / 16384)
      if value == '' and string.byte(name) ~= 58 then
        local broken = parent_fault(q, id, name, plan.after)
        if broken then return broken end
        open = open + 1
        weigh(2)
      elseif string.byte(name) ~= 58 and not string.find(value, '^completed ') then
        failed = failed + 1
      end
    end
    scan = page[1]
  until scan == '0' or is_over()
  if scan ~= '0' then return false, table.concat({scan, open, failed, left or '-', failures or '-'}, ' ') end
  if (told[1] or '-') ~= (left or '-') or (told[2] or '-') ~= (failures or '-') then return false end
  return (tonumber(told[1]) ~= open or tonumber(told[2] or 0) ~= failed) and 'parents'
end

-- circle: whether a task would wait for itself: through those that it comes after, or through who stands before it in a line.

-- most: looked at by one call: tasks, each KiB of their conditions and each 64 of their parents.
local CIRCLES = {most = 1000}

-- Who stands before it in a line, or last where it does not stand there; but not the task without, which leaves the line.
local function stands_before(q, line, id, without)
  local rank = soft('ZRANK', q.line .. line, id)
  local at = rank and rank - 1 or -1
  for _ = 1, 2 do
    if rank and at < 0 then return nil end
    local found = (soft('ZRANGE', q.line .. line, at, at) or {})[1]
    if found ~= without then return found end
    at = at - 1
  end
end

-- Whether it is a child of the task that has this name now, and not of an earlier one that was removed.
function CIRCLES.awaits(q, id, name)
  if not is_ref(name) then return false end
  local home, parent = ref_of(q, name)
  return soft('ZSCORE', home.children .. parent, q.name .. '/' .. id)
end

-- The parents that have not told of their end, of one that is entered where it says, or is not yet; nil where they are more
-- than most. Those that are seen already are left out. Answers how many there are besides.
function CIRCLES.parents(q, id, after, bound, most, seen)
  if (soft('HLEN', q.parents .. id) or 0) > most then return nil end
  local entered = string.find(bound, 'p', 1, true)
  local names, told, flat = {}, {}, soft('HGETALL', q.parents .. id) or {}
  for i = 1, #flat, 2 do
    told[flat[i]] = flat[i + 1] ~= ''
    if entered and flat[i + 1] == '' and not (seen and seen[flat[i]]) and CIRCLES.awaits(q, id, flat[i]) then names[#names + 1] = flat[i] end
  end
  for _, ref in ipairs(entered and {} or after.ids) do
    local home, parent = ref_of(q, ref)
    if not told[home.name .. '/' .. parent] then names[#names + 1] = ref end
  end
  return names, math.max(#flat / 2, entered and 0 or #after.ids)
end

-- What a task with these parents and in these lines would come to: circle, too far (nobody can tell) or nil; and how much
-- was looked at. leaves: it leaves the lines in which it stands.
function CIRCLES.of(q, id, refs, lines, most, leaves)
  local itself, names, seen = q.name .. '/' .. id, {}, {}
  local function add(home, one)
    local name = home.name .. '/' .. one
    if not seen[name] then names[#names + 1] = {home, one} end
    seen[name] = true
  end
  local function add_all(home, some)
    for _, ref in ipairs(some) do add(ref_of(home, ref)) end
  end
  add_all(q, refs)
  local spent = -#names                                 -- those that it names itself are free
  for _, line in ipairs(lines) do
    local before = stands_before(q, line, leaves and '' or id, id)
    if before and is_id(before) then add(q, before) end
  end
  local at = 1
  while names[at] and not seen[itself] do
    if spent > most then return 'too far', spent end
    local home, one = names[at][1], names[at][2]
    local found = read(home.task .. one, 'state', 'conditions', 'key', 'bound')
    local state, plan = found and state_of(found[1]), found and found[2] and plan_of(found[2])
    if plan and (LIVE[state] or state == 'dead') then
      local parents, many = {}, 0
      if plan.after then parents, many = CIRCLES.parents(home, one, plan.after, found[4] or '', most, seen) end
      if not parents then return 'too far', spent end
      add_all(home, parents)
      spent = spent + math.floor(many / 64)
      for _, line in ipairs(lines_of(plan, found[3])) do
        local before = soft('ZSCORE', home.line .. line, one) and stands_before(home, line, one, leaves and home == q and id)
        if before and is_id(before) then add(home, before) end
      end
    end
    at, spent = at + 1, spent + 1 + math.floor(#(found and found[2] or '') / 1024)
  end
  return seen[itself] and 'circle' or nil, math.max(spent, 0)
end

-- The same of a task that gets other conditions or another key (nil: as it is, '': none).
function CIRCLES.by(q, id, conditions, key, most)
  local f = read(q.task .. id, 'state', 'conditions', 'key', 'bound')
  if not f or not (LIVE[state_of(f[1])] or f[1] == 'dead') or f[1] == 'running' then return nil, 0 end
  local text = conditions or f[2] or ''
  local plan = text ~= '' and plan_of(text)
  if not plan then return nil, 0 end
  local refs, is_parent = plan.after and plan.after.ids or {}, string.find(f[4] or '', 'c', 1, true)
  if not is_parent then
    for _, ref in ipairs(refs) do
      local home, parent = ref_of(q, ref)
      if home.task .. parent == q.task .. id then return 'circle', 0 end
    end
    return nil, 0
  end
  return CIRCLES.of(q, id, refs, lines_of(plan, key or f[3]), most, true)
end

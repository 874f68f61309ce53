-- circles: whether a task would wait for itself, through its parents or through the tasks before it in a line.
--
-- USES  keys, safe, hash, schema, conditions, links

-- Most that one call looks at: each task, each KiB of its conditions and each 64 of its parents count as one.
circles.MOST = 1000

-- The task that stands before this one in a line; the last of the line if this one is not in it. without: a task that leaves
-- the line and does not count.
local function stands_before(q, line, id, without)
  local rank = safe.call('ZRANK', q.line .. line, id)
  local at = rank and rank - 1 or -1
  for _ = 1, 2 do
    if rank and at < 0 then return nil end
    local found = (safe.call('ZRANGE', q.line .. line, at, at) or {})[1]
    if found ~= without then return found end
    at = at - 1
  end
end

-- Whether the task is a child of the task that has this name now, and not of an earlier one that was removed.
function circles.awaits(q, id, name)
  if not schema.is_ref(name) then return false end
  local home, parent = conditions.resolve(q, name)
  return safe.call('ZSCORE', home.children .. parent, q.name .. '/' .. id)
end

-- The parents whose end the task has not learned yet, without those that were seen already, and how many parents there are
-- in all. It answers nil if there are more than `most`.
function circles.parents(q, id, after, bound, most, seen)
  if (safe.call('HLEN', q.parents .. id) or 0) > most then return nil end
  local entered = string.find(bound, 'p', 1, true)
  local names, told, flat = {}, {}, safe.call('HGETALL', q.parents .. id) or {}
  for i = 1, #flat, 2 do
    told[flat[i]] = flat[i + 1] ~= ''
    if entered and flat[i + 1] == '' and not (seen and seen[flat[i]]) and circles.awaits(q, id, flat[i]) then
      names[#names + 1] = flat[i]
    end
  end
  for _, ref in ipairs(entered and {} or after.ids) do
    local home, parent = conditions.resolve(q, ref)
    if not told[home.name .. '/' .. parent] then names[#names + 1] = ref end
  end
  return names, math.max(#flat / 2, entered and 0 or #after.ids)
end

-- Whether a task with these parents and in these lines would wait for itself: circle, too far (it cannot be told) or nil;
-- and how much was looked at. leaves: it leaves the lines in which it is now.
function circles.find(q, id, refs, lines, most, leaves)
  local itself, names, seen = q.name .. '/' .. id, {}, {}
  local function add(home, one)
    local name = home.name .. '/' .. one
    if not seen[name] then names[#names + 1] = {home, one} end
    seen[name] = true
  end
  local function add_all(home, some)
    for _, ref in ipairs(some) do add(conditions.resolve(home, ref)) end
  end
  add_all(q, refs)
  local spent = -#names                                 -- those that it names itself do not count
  for _, line in ipairs(lines) do
    local before = stands_before(q, line, leaves and '' or id, id)
    if before and keys.is_id(before) then add(q, before) end
  end
  local at = 1
  while names[at] and not seen[itself] do
    if spent > most then return 'too far', spent end
    local home, one = names[at][1], names[at][2]
    local found = hash.read(home.task .. one, 'state', 'conditions', 'key', 'bound')
    local state, plan = found and hash.state_of(found[1]), found and found[2] and conditions.of(found[2])
    if plan and (hash.LIVE[state] or state == 'dead') then
      local parents, many = {}, 0
      if plan.after then parents, many = circles.parents(home, one, plan.after, found[4] or '', most, seen) end
      if not parents then return 'too far', spent end
      add_all(home, parents)
      spent = spent + math.floor(many / 64)
      for _, line in ipairs(links.lines_of(plan, found[3])) do
        local before = safe.call('ZSCORE', home.line .. line, one)
          and stands_before(home, line, one, leaves and home == q and id)
        if before and keys.is_id(before) then add(home, before) end
      end
    end
    at, spent = at + 1, spent + 1 + math.floor(#(found and found[2] or '') / 1024)
  end
  return seen[itself] and 'circle' or nil, math.max(spent, 0)
end

-- The same for a task that gets other conditions or another key (nil: as it is, '': none).
function circles.after_change(q, id, given, key, most)
  local f = hash.read(q.task .. id, 'state', 'conditions', 'key', 'bound')
  if not f or not (hash.LIVE[hash.state_of(f[1])] or f[1] == 'dead') or f[1] == 'running' then return nil, 0 end
  local text = given or f[2] or ''
  local plan = text ~= '' and conditions.of(text)
  if not plan then return nil, 0 end
  local refs, is_parent = plan.after and plan.after.ids or {}, string.find(f[4] or '', 'c', 1, true)
  if not is_parent then
    for _, ref in ipairs(refs) do
      local home, parent = conditions.resolve(q, ref)
      if home.task .. parent == q.task .. id then return 'circle', 0 end
    end
    return nil, 0
  end
  return circles.find(q, id, refs, links.lines_of(plan, key or f[3]), most, true)
end

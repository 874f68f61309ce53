-- definition: what put_schedule is given: the spec, the fields of the tasks, and whose the schedule is.
--
-- USES  keys, check, fields, schedules, versions

-- The field of a spec that cannot be used, and why; nil if all can be. What only movers read they check themselves.
function definition.spec_problem(text, found)
  if #text > 65536 or not next(found) then return 'spec', 'must be a JSON object of at most 64 KiB' end
  if found.overlap and not schedules.OVERLAPS[found.overlap] then return 'overlap', 'is unknown' end
  if found.after_completion and not check.in_range(found.after_completion, 0, 1e13) then
    return 'after_completion', 'must be ms'
  end
  if found.max_runs and not check.in_range(found.max_runs, 1, 1e15) then return 'max_runs', 'must be 1 or more' end
  for _, one in pairs(type(found.every) == 'table' and found.every or {found.every}) do
    if type(one) ~= 'table' or not check.in_range(one.every, 1000, 1e13) or not check.in_range(one.phase or 0, 0, 1e13) then
      return 'every', 'must be a list of {every, phase}, in ms'
    end
  end
end

-- Read field, value, ... from a word of the call on. Answers the fields of the tasks under their names in the schedule's hash,
-- the owner or nil, and its version; or nil, the field that cannot be used, and why.
function definition.words(words, first, now)
  local given, owner, version = {}, nil, '-'
  for i = first, #words, 2 do
    local field, value = words[i], words[i + 1] or ''
    if field == 'owner' then
      if not keys.is_name(value) then return nil, field, 'must be 1 to 100 of [A-Za-z0-9._@+-]' end
      owner = value
    elseif field == 'owner_version' then
      if not versions.numbers(value) then return nil, field, 'must be 1 to 8 numbers with dots between them, or -' end
      version = value
    else
      local stored, why = fields.usable(field, value, now)
      if not stored then return nil, fields.LONGEST[field] and field or 'fields', why end
      if field == 'expires_at' and not string.find(value, '^%+0*[1-9]%d*$') then return nil, field, 'must be +ms' end
      given['task:' .. field] = value
    end
  end
  if not given['task:type'] then return nil, 'type', 'is required' end
  if not given['task:payload'] then return nil, 'payload', 'is required' end
  return given, owner, version
end

-- Whether a schedule has this definition already.
function definition.is_same(s, spec, queue, given)
  local same = s.f.spec == spec and s.f.queue == queue
  for name, value in pairs(given) do same = same and s.f[name] == value end
  for name in pairs(s.f) do same = same and (given[name] or string.sub(name, 1, 5) ~= 'task:') end
  return same
end

-- Give a schedule these fields of its tasks, and no others; the caller saves it.
function definition.note(s, given)
  for name in pairs(s.f) do
    if string.sub(name, 1, 5) == 'task:' and not given[name] then schedules.set(s, name) end
  end
  for name, value in pairs(given) do schedules.set(s, name, value) end
end

-- whole: tasks of one call that come after one another are made together, or none of them is.

-- For each task, the number of a task that stands for its family.
local function families_of(tasks)
  local up = {}
  local function first(i)
    while up[i] ~= i do i = up[i] end
    return i
  end
  for i, task in ipairs(tasks) do
    up[i] = i
    for _, earlier in ipairs(task.named or {}) do up[first(i)] = first(earlier) end
  end
  for i in ipairs(tasks) do up[i] = first(i) end
  return up
end

-- The answers for those that are in conflict, and for the others of their families that are not there yet.
local function refused_of(tasks)
  local family, known, conflict, answers = families_of(tasks), {}, {}, {}
  for i, task in ipairs(tasks) do
    known[i] = known_as(task) or 'new'
    if known[i] == 'conflict' then conflict[family[i]] = conflict[family[i]] or task.id end
  end
  for i in ipairs(tasks) do
    local other = conflict[family[i]]
    if other and known[i] ~= 'existing' and known[i] ~= 'repeated' then
      answers[i] = known[i] == 'conflict' and 'conflict' or 'refused ' .. other
    end
  end
  return answers
end

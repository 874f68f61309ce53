-- conditions: the members that a task's conditions may have.

local FACTS = list_of(is_fact, MOST_FACTS)
local MEMBER = {
  cancel_on = FACTS,
  wait_for = function(value)
    local either = object_of({all = FACTS, any = FACTS, within = is_span, ['then'] = one_of('run', 'expire')})
    return either(value) and (value.all == nil) ~= (value.any == nil)
  end,
  only_if = is_test, unless = is_test,
  otherwise = function(value)
    if type(value) == 'string' then return one_of('skip')(value) end
    return object_of({again = is_pause, within = is_span}, 'again')(value)
  end,
  late = function(value)
    if type(value) ~= 'table' or #value > 0 or not has_at_most(value, MOST_MEMBERS) then return false end
    local from = object_of({fact = is_fact, field = is_short, default = is_plain}, 'fact')
    for name, one in pairs(value) do
      if not is_short(name) or not from(one) then return false end
    end
    return true
  end,
  fifo = is_flag,
  unique = object_of({key = is_key, mode = one_of('reject', 'replace', 'debounce', 'keep_last'),
    release = one_of('start', 'end', 'ttl'), ttl = is_span, longest = is_span}, 'key'),
  digest = object_of({key = is_key, grace = is_span, longest = is_span,
    size = function(value) return is_span(value) and value <= 1000 end}, 'key'),
  hold = object_of({token = is_key, within = is_span, ['then'] = one_of('run', 'expire')}, 'token'),
  after = object_of({ids = list_of(is_ref, 500), on = one_of('success', 'failure', 'either'),
    otherwise = one_of('cancel', 'skip', 'run', 'wait')}, 'ids'),
}

local function checked_plan(text)
  if #text > LONGEST_PLAN then return nil, 'are too long' end
  local ok, plan = pcall(function() return cjson.decode(keep_integers(text)) end)
  if not ok or type(plan) ~= 'table' or #plan > 0 then return nil, 'must be a JSON object' end
  local part, why = {}, nil
  for member, value in pairs(plan) do
    strange.met = not MEMBER[member]
    if MEMBER[member] and MEMBER[member](value) then
      part[member] = value
    else
      why = 'hold a ' .. (MEMBER[member] and member .. ' that cannot be used' or 'member that is unknown')
      if not strange.met then return nil, why end
    end
  end
  if tests_in(part.unless) + tests_in(part.only_if) > MOST_TESTS then return nil, 'hold more than 32 tests' end
  if part.fifo and part.digest then return nil, 'hold fifo and digest, which do not go together' end
  local unique = plan.unique
  if part.unique and unique.release == 'ttl' and not unique.ttl then return nil, 'hold a unique without its ttl' end
  if why then return nil, why, part end
  return plan
end

local MOST_KNOWN, LONGEST_KNOWN = 64, 2048
local known_plans, plans_known = {}, 0

-- The plan, which nobody changes; or nil and why it cannot be used, with the members that can, where a newer redsched may know
-- the others. Many tasks have the same text.
local function plan_of(text)
  local known = known_plans[text]
  if known then return known end
  weigh(#text / 128)
  local plan, why, part = checked_plan(text)
  if not plan or #text > LONGEST_KNOWN then return plan, why, part end
  if plans_known >= MOST_KNOWN then known_plans, plans_known = {}, 0 end
  known_plans[text], plans_known = plan, plans_known + 1
  return plan
end

-- What holds of a plan in any case, and whether a newer redsched knows more of it: that may not run, nor count as untied.
local function known_plan(text)
  local plan, _, part = plan_of(text)
  return plan or part, not plan and part ~= nil
end

-- The facts that a task listens for.
local function facts_of(plan)
  local found = {}
  for _, name in ipairs(plan.cancel_on or {}) do found[#found + 1] = name end
  for _, name in ipairs(plan.wait_for and (plan.wait_for.all or plan.wait_for.any) or {}) do found[#found + 1] = name end
  return found
end

-- The queue and the id that <id> or <queue>/<id> means.
local function ref_of(q, ref)
  local queue, id = string.match(ref, '^([^/]+)/(.*)$')
  if not queue or queue == q.name then return q, id or ref end
  return open(q.prefix .. 'due:' .. queue), id
end

-- conditions: the conditions of a task, read and checked: its plan. One member that cannot be used makes all unusable.
--
-- USES  budget, keys, json, schema

local FACTS = schema.list_of(schema.is_fact, schema.MOST_FACTS)
local MEMBER = {
  cancel_on = FACTS,
  wait_for = function(value)
    local end_of_wait = schema.one_of('run', 'expire')
    local either = schema.object_of({all = FACTS, any = FACTS, within = schema.is_span, ['then'] = end_of_wait})
    return either(value) and (value.all == nil) ~= (value.any == nil)
  end,
  only_if = schema.is_test, unless = schema.is_test,
  otherwise = function(value)
    if type(value) == 'string' then return schema.one_of('skip')(value) end
    return schema.object_of({again = schema.is_pause, within = schema.is_span}, 'again')(value)
  end,
  late = function(value)
    if type(value) ~= 'table' or #value > 0 or not schema.has_at_most(value, schema.MOST_MEMBERS) then return false end
    local from = schema.object_of({fact = schema.is_fact, field = schema.is_short, default = schema.is_plain}, 'fact')
    for name, one in pairs(value) do
      if not schema.is_short(name) or not from(one) then return false end
    end
    return true
  end,
  fifo = schema.is_flag,
  unique = schema.object_of({key = schema.is_key, mode = schema.one_of('reject', 'replace', 'debounce', 'keep_last'),
    release = schema.one_of('start', 'end', 'ttl'), ttl = schema.is_span, longest = schema.is_span}, 'key'),
  digest = schema.object_of({key = schema.is_key, grace = schema.is_span, longest = schema.is_span,
    size = function(value) return schema.is_span(value) and value <= 1000 end}, 'key'),
  hold = schema.object_of({token = schema.is_key, within = schema.is_span, ['then'] = schema.one_of('run', 'expire')}, 'token'),
  after = schema.object_of({ids = schema.list_of(schema.is_ref, 500), on = schema.one_of('success', 'failure', 'either'),
    otherwise = schema.one_of('cancel', 'skip', 'run', 'wait')}, 'ids'),
}

local function checked_plan(text)
  if #text > schema.LONGEST then return nil, 'are too long' end
  local ok, plan = pcall(function() return cjson.decode(json.keep_integers(text)) end)
  if not ok or type(plan) ~= 'table' or #plan > 0 then return nil, 'must be a JSON object' end
  local part, why = {}, nil
  for member, value in pairs(plan) do
    schema.unknown.met = not MEMBER[member]
    if MEMBER[member] and MEMBER[member](value) then
      part[member] = value
    else
      why = 'hold a ' .. (MEMBER[member] and member .. ' that cannot be used' or 'member that is unknown')
      if not schema.unknown.met then return nil, why end
    end
  end
  if schema.tests_in(part.unless) + schema.tests_in(part.only_if) > schema.MOST_TESTS then
    return nil, 'hold more than 32 tests'
  end
  if part.fifo and part.digest then return nil, 'hold fifo and digest, which do not go together' end
  local unique = plan.unique
  if part.unique and unique.release == 'ttl' and not unique.ttl then return nil, 'hold a unique without its ttl' end
  if why then return nil, why, part end
  return plan
end

local MOST_KNOWN, LONGEST_KNOWN = 64, 2048
local known_plans, plans_known = {}, 0

-- The conditions that a text holds: a plan, which must not be changed, since tasks with the same text share it. If the text
-- cannot be used: nil, why, and the members that can be used if a newer redsched may know the others.
function conditions.of(text)
  local known = known_plans[text]
  if known then return known end
  budget.spend(#text / 128)
  local plan, why, part = checked_plan(text)
  if not plan or #text > LONGEST_KNOWN then return plan, why, part end
  if plans_known >= MOST_KNOWN then known_plans, plans_known = {}, 0 end
  known_plans[text], plans_known = plan, plans_known + 1
  return plan
end

-- The members of a plan that are known here, and whether a newer redsched may know more of them. In that case the task may
-- not run, and may not be taken for one without conditions.
function conditions.known(text)
  local plan, _, part = conditions.of(text)
  return plan or part, not plan and part ~= nil
end

-- The facts that a task listens for.
function conditions.facts(plan)
  local found = {}
  for _, name in ipairs(plan.cancel_on or {}) do found[#found + 1] = name end
  for _, name in ipairs(plan.wait_for and (plan.wait_for.all or plan.wait_for.any) or {}) do found[#found + 1] = name end
  return found
end

-- The queue and the id that <id> or <queue>/<id> means.
function conditions.resolve(q, ref)
  local queue, id = string.match(ref, '^([^/]+)/(.*)$')
  if not queue or queue == q.name then return q, id or ref end
  return keys.open(q.prefix .. 'due:' .. queue), id
end

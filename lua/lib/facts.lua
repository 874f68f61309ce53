-- facts: what conditions are about: plain keys {namespace}:fact:<name>, which any client may set, count and remove.

local ANYTHING = 'true'                                 -- what a fact of another type than text is worth

-- The value of a fact, or of its field (of a JSON object or a hash), as text; nil where there is none.
local function fact_of(prefix, name, field)
  local key = prefix .. 'fact:' .. name
  local value = soft('GET', key)
  if value == nil then return not field and ANYTHING or field and soft('HGET', key, field) or nil end
  if not value then return nil end
  if not field then return value end
  return member_of(value, field)
end

local function is_fact_there(prefix, name) return redis.call('EXISTS', prefix .. 'fact:' .. name) == 1 end

local function is_same(text, value, wanted)
  return value == wanted or type(wanted) == 'string' and text == wanted
end

-- Whether a comparison holds. What is no number is neither less nor greater.
local function compares(prefix, test)
  local text = fact_of(prefix, test.fact, test.field)
  if test.exists == false then return text == nil end
  if text == nil then return false end
  local value, number = scalar(text), nil
  if value == nil then value = text end
  number = type(value) == 'number' and value or nil
  if test.equals ~= nil and not is_same(text, value, test.equals) then return false end
  if test.less and not (number and number < test.less) then return false end
  if test.greater and not (number and number > test.greater) then return false end
  if not test['in'] then return true end
  for _, one in ipairs(test['in']) do
    if is_same(text, value, one) then return true end
  end
  return false
end

local function holds(prefix, test)
  if not (test.all or test.any) then return compares(prefix, test) end
  for _, one in ipairs(test.all or test.any) do
    if holds(prefix, one) ~= (test.all ~= nil) then return test.all == nil end
  end
  return test.all ~= nil
end

-- The first of the facts that is there.
local function first_fact(prefix, names)
  for _, name in ipairs(names or {}) do
    if is_fact_there(prefix, name) then return name end
  end
end

-- Whether what a task waits for has happened.
local function is_awaited(prefix, wait)
  if wait.any then return first_fact(prefix, wait.any) ~= nil end
  for _, name in ipairs(wait.all) do
    if not is_fact_there(prefix, name) then return false end
  end
  return true
end

-- Whether the tests of a plan let its task run.
local function is_met(prefix, plan)
  return not (plan.unless and holds(prefix, plan.unless)) and not (plan.only_if and not holds(prefix, plan.only_if))
end

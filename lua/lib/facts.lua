-- facts: what conditions are about: plain keys {namespace}:fact:<name>, which any client may set, count and remove.
-- Each is read once a call. What they hold may be of any size, so there are limits: of a longer fact only its being there
-- counts, and the tests of a task read no more than so much JSON, a member of a member counted again.

local ANYTHING = 'true'                                 -- what a fact of another type than text is worth
local LONGEST_FACT, LONGEST_SCALAR = 65536, 8192         -- bytes

-- {text}: false where it is not there or too long; kind: missing, text or other (another type than text).
local function read_fact(prefix, name)
  CALL.facts = CALL.facts or {}
  local known = CALL.facts[name]
  if known then return known end
  local key = prefix .. 'fact:' .. name
  local value = soft('GETRANGE', key, 0, LONGEST_FACT)
  known = {key = key, text = value and #value <= LONGEST_FACT and value, kind = value and 'text' or 'other', fields = {}}
  if value == '' and redis.call('EXISTS', key) == 0 then known.text, known.kind = false, 'missing' end
  CALL.facts[name] = known
  weigh(0.25 + (known.text and #known.text / 8192 or 0))
  return known
end

-- The field of a hash; nil where there is none, or a long one.
local function hash_field(fact, field)
  if fact.fields[field] == nil then
    local size = soft('HSTRLEN', fact.key, field)
    fact.fields[field] = size and size <= LONGEST_FACT and soft('HGET', fact.key, field) or false
    weigh(0.5)
  end
  return fact.fields[field] or nil
end

-- The value of a fact, or of its field (of a JSON object or a hash), as text; nil where there is none, false where it is
-- too long to be read. And whether it is no more than text: what a hash holds is no JSON.
local function fact_of(prefix, name, field)
  local fact = read_fact(prefix, name)
  if fact.kind == 'other' then return not field and ANYTHING or hash_field(fact, field), field ~= nil end
  if fact.kind == 'missing' then return nil end
  if not field then return fact.text end
  return fact.text and member_of(fact.text, field) or nil
end

local function is_fact_there(prefix, name)
  CALL.there = CALL.there or {}
  local there = CALL.there[name]
  if there == nil then
    there = redis.call('EXISTS', prefix .. 'fact:' .. name) == 1
    CALL.there[name] = there
    weigh(0.25)
  end
  return there
end

-- While an event is told, it counts as there: its fact may have expired before all who waited for it were told.
local function while_it_happens(name, tell, ...)
  local before = CALL.there and CALL.there[name]
  CALL.there = CALL.there or {}
  CALL.there[name] = true
  local ok, problem = pcall(tell, ...)
  CALL.there[name] = before
  if not ok then error(problem) end
end

-- The order of a JSON number and one of a plan: -1, 0 or 1. Where both are written with digits only, these are compared, since
-- a double holds no more than 15 of them for sure; a number of a plan that is no table has no more, or a point or an exponent.
local function order_to(text, number, wanted)
  local is_long = type(wanted) == 'table'
  local longhand = is_long and string.match(text, '^%s*(%-?%d+)%s*$')
  if longhand then return order_of(longhand, wanted.int) end
  local other = is_long and tonumber(wanted.int) or wanted
  return number < other and -1 or number > other and 1 or 0
end

local function is_same(text, value, wanted)
  if type(wanted) == 'string' then return value == wanted or text == wanted end
  if type(value) ~= 'number' or type(wanted) == 'boolean' then return value == wanted end
  return order_to(text, value, wanted) == 0
end

-- Whether a comparison holds. What is no number is neither less nor greater; what is too long to be read is only there.
local function compares(prefix, test)
  local text = fact_of(prefix, test.fact, test.field)
  if test.exists == false then return text == nil end
  if text == nil then return false end
  if text == false then return test.equals == nil and not test.less and not test.greater and not test['in'] end
  local value, number = nil, nil
  if #text <= LONGEST_SCALAR and not string.find(text, '^%s*[%[{]') and is_json(text) then value = scalar(text) end
  if value == nil then value = text end
  number = type(value) == 'number' and value or nil
  if test.equals ~= nil and not is_same(text, value, test.equals) then return false end
  if test.less and not (number and order_to(text, number, test.less) < 0) then return false end
  if test.greater and not (number and order_to(text, number, test.greater) > 0) then return false end
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
  begin_reading()
  return not (plan.unless and holds(prefix, plan.unless)) and not (plan.only_if and not holds(prefix, plan.only_if))
end

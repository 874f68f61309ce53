-- facts: what conditions are about: plain keys {namespace}:fact:<name>, which any client may set, count and remove.
-- Each is read once a call. A fact may have any size, so reading is bounded: of a longer fact only its existence counts.
--
-- USES  budget, clock, safe, json, json_path

local ANYTHING = 'true'                                 -- the value of a fact of another type than text
local LONGEST_FACT, LONGEST_SCALAR = 65536, 8192        -- bytes

-- A fact. text: false if it is missing or too long; kind: missing, text or other (another type than text).
local function read_fact(prefix, name)
  clock.call.facts = clock.call.facts or {}
  local known = clock.call.facts[name]
  if known then return known end
  local key = prefix .. 'fact:' .. name
  local value = safe.call('GETRANGE', key, 0, LONGEST_FACT)
  known = {key = key, text = value and #value <= LONGEST_FACT and value, kind = value and 'text' or 'other', fields = {}}
  if value == '' and redis.call('EXISTS', key) == 0 then known.text, known.kind = false, 'missing' end
  clock.call.facts[name] = known
  budget.spend(0.25 + (known.text and #known.text / 8192 or 0))
  return known
end

-- The field of a hash; nil if it is missing or too long.
local function hash_field(fact, field)
  if fact.fields[field] == nil then
    local size = safe.call('HSTRLEN', fact.key, field)
    fact.fields[field] = size and size <= LONGEST_FACT and safe.call('HGET', fact.key, field) or false
    budget.spend(0.5)
  end
  return fact.fields[field] or nil
end

-- The value of a fact, or of its field (of a JSON object or a hash), as text; nil if there is none, false if it is too long
-- to be read. And whether it is plain text: what a hash holds is not read as JSON.
function facts.value(prefix, name, field)
  local fact = read_fact(prefix, name)
  if fact.kind == 'other' then return not field and ANYTHING or hash_field(fact, field), field ~= nil end
  if fact.kind == 'missing' then return nil end
  if not field then return fact.text end
  return fact.text and json_path.find(fact.text, field) or nil
end

local function is_fact_there(prefix, name)
  clock.call.there = clock.call.there or {}
  local there = clock.call.there[name]
  if there == nil then
    there = redis.call('EXISTS', prefix .. 'fact:' .. name) == 1
    clock.call.there[name] = there
    budget.spend(0.25)
  end
  return there
end

-- Call tell(...). Meanwhile the fact of an event counts as there, since it may expire before all listeners were told.
function facts.while_it_happens(name, tell, ...)
  local before = clock.call.there and clock.call.there[name]
  clock.call.there = clock.call.there or {}
  clock.call.there[name] = true
  local ok, problem = pcall(tell, ...)
  clock.call.there[name] = before
  if not ok then error(problem) end
end

-- The order of a JSON number and a number of a plan: -1, 0 or 1. If both are written with digits only, the digits are
-- compared, since a double holds only 15 of them for sure. A number of a plan that is no table has at most 15 digits, or a
-- point or an exponent.
local function order_to(text, number, wanted)
  local is_long = type(wanted) == 'table'
  local longhand = is_long and string.match(text, '^%s*(%-?%d+)%s*$')
  if longhand then return json.compare_integers(longhand, wanted.int) end
  local other = is_long and tonumber(wanted.int) or wanted
  return number < other and -1 or number > other and 1 or 0
end

local function is_same(text, value, wanted)
  if type(wanted) == 'string' then return value == wanted or text == wanted end
  if type(value) ~= 'number' or type(wanted) == 'boolean' then return value == wanted end
  return order_to(text, value, wanted) == 0
end

-- Whether a comparison holds. What is no number is neither less nor greater. Of a fact that is too long to be read only its
-- existence counts.
local function compares(prefix, test)
  local text = facts.value(prefix, test.fact, test.field)
  if test.exists == false then return text == nil end
  if text == nil then return false end
  if text == false then return test.equals == nil and not test.less and not test.greater and not test['in'] end
  local value, number = nil, nil
  if #text <= LONGEST_SCALAR and not string.find(text, '^%s*[%[{]') and json.is_valid(text) then value = json.scalar(text) end
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

function facts.holds(prefix, test)
  if not (test.all or test.any) then return compares(prefix, test) end
  for _, one in ipairs(test.all or test.any) do
    if facts.holds(prefix, one) ~= (test.all ~= nil) then return test.all == nil end
  end
  return test.all ~= nil
end

-- The first of the facts that is there.
function facts.first(prefix, names)
  for _, name in ipairs(names or {}) do
    if is_fact_there(prefix, name) then return name end
  end
end

-- Whether what a task waits for has happened.
function facts.is_awaited(prefix, wait)
  if wait.any then return facts.first(prefix, wait.any) ~= nil end
  for _, name in ipairs(wait.all) do
    if not is_fact_there(prefix, name) then return false end
  end
  return true
end

-- Whether the tests of a plan let its task run.
function facts.is_met(prefix, plan)
  json_path.begin()
  return not (plan.unless and facts.holds(prefix, plan.unless)) and not (plan.only_if and not facts.holds(prefix, plan.only_if))
end

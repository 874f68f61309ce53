-- plan: what a task's conditions ask for, read and checked. A member that is unknown makes the whole of no use.

local LONGEST_PLAN = 65536                              -- bytes of JSON
local MOST_FACTS, MOST_TESTS, MOST_MEMBERS = 16, 32, 32   -- tests: of a whole plan; members: that facts or events fill in
local SOONEST_AGAIN = 1000                              -- ms

local function is_fact(name)
  return type(name) == 'string' and #name <= 256 and string.find(name, '^[A-Za-z0-9][A-Za-z0-9._@+:-]*$') ~= nil
end

local function is_key(value)
  return type(value) == 'string' and #value <= 128 and string.find(value, '^[!-~]+$') ~= nil
end

local function is_short(value) return type(value) == 'string' and #value >= 1 and #value <= 256 end
local function is_flag(value) return type(value) == 'boolean' end

-- An integer as keep_integers has it.
local function is_integer(value)
  return type(value) == 'table' and type(value.int) == 'string' and #value.int <= 256 and next(value, next(value)) == nil
    and string.find(value.int, '^%-?[1-9]%d*$') ~= nil
end

local function is_number(value) return sane(value, -1e300, 1e300) ~= nil or is_integer(value) end
local function is_plain(value) return is_flag(value) or is_number(value) or type(value) == 'string' and #value <= 1024 end
local function is_span(value) return sane(value, 1, 31536000000) ~= nil and value % 1 == 0 end

local function is_pause(value) return is_span(value) and value >= SOONEST_AGAIN end

-- Whether an object has no more members than that; of a list, no other than its items.
local function has_at_most(value, most)
  local n = 0
  for _ in pairs(value) do n = n + 1 end
  return n <= most
end

-- <id>, or <queue>/<id> of another queue.
local function is_ref(value)
  if type(value) ~= 'string' then return false end
  local queue, id = string.match(value, '^([^/]*)/(.*)$')
  return is_id(id or value) and (not queue or is_name(queue))
end

local strange = {met = false}                           -- whether a check met a word that a newer redsched may know

local function one_of(...)
  local known, words = {}, {...}
  for i = 1, #words do known[words[i]] = true end       -- no ipairs yet while a library is loaded
  return function(value)
    if type(value) ~= 'string' then return false end
    if not known[value] then strange.met = true end
    return known[value] == true
  end
end

local function list_of(check, most)
  return function(value)
    if type(value) ~= 'table' or #value < 1 or #value > most or not has_at_most(value, #value) then return false end
    for _, one in ipairs(value) do
      if not check(one) then return false end
    end
    return true
  end
end

-- An object of these members; those named after it have to be there.
local function object_of(checks, ...)
  local needed = {...}
  return function(value)
    if type(value) ~= 'table' then return false end
    local good = true
    for name, one in pairs(value) do
      if not checks[name] then strange.met, good = true, false
      elseif not checks[name](one) then good = false end
    end
    for _, name in ipairs(needed) do good = good and value[name] ~= nil end
    return good
  end
end

local is_comparison = object_of({fact = is_fact, field = is_short, exists = is_flag, equals = is_plain,
  ['in'] = list_of(is_plain, 64), less = is_number, greater = is_number}, 'fact')

-- A comparison, or {all: [...]} or {any: [...]} of tests; at most four deep.
local function is_test(value, depth)
  if type(value) ~= 'table' or depth == 0 then return false end
  local parts = value.all or value.any
  if not parts then return is_comparison(value) end
  local deeper = list_of(function(one) return is_test(one, (depth or 4) - 1) end, MOST_TESTS)
  return deeper(parts) and next(value, next(value)) == nil
end

-- How many comparisons there are in a test; 0 where there is none.
local function tests_in(test)
  local parts, n = test and (test.all or test.any), 0
  if not parts then return test and 1 or 0 end
  for _, one in ipairs(parts) do n = n + tests_in(one) end
  return n
end

-- schema: checks for the members of a JSON object, of which conditions and rules are made.
--
-- USES  keys, check

schema.LONGEST = 65536                                  -- bytes of JSON
-- tests: of a whole plan; members: that facts or events fill in
schema.MOST_FACTS, schema.MOST_TESTS, schema.MOST_MEMBERS = 16, 32, 32
local SOONEST_AGAIN = 1000                              -- ms

function schema.is_fact(name)
  return type(name) == 'string' and #name <= 256 and string.find(name, '^[A-Za-z0-9][A-Za-z0-9._@+:-]*$') ~= nil
end

function schema.is_key(value)
  return type(value) == 'string' and #value <= 128 and string.find(value, '^[!-~]+$') ~= nil
end

function schema.is_short(value) return type(value) == 'string' and #value >= 1 and #value <= 256 end
function schema.is_flag(value) return type(value) == 'boolean' end

-- An integer as json.keep_integers writes it.
local function is_integer(value)
  return type(value) == 'table' and type(value.int) == 'string' and #value.int <= 256 and next(value, next(value)) == nil
    and string.find(value.int, '^%-?[1-9]%d*$') ~= nil
end

local function is_number(value) return check.in_range(value, -1e300, 1e300) ~= nil or is_integer(value) end
function schema.is_plain(value) return schema.is_flag(value) or is_number(value) or type(value) == 'string'
  and #value <= 1024 end
function schema.is_span(value) return check.in_range(value, 1, 31536000000) ~= nil and value % 1 == 0 end

function schema.is_pause(value) return schema.is_span(value) and value >= SOONEST_AGAIN end

-- Whether an object has at most so many members. A list must have no members besides its items.
function schema.has_at_most(value, most)
  local n = 0
  for _ in pairs(value) do n = n + 1 end
  return n <= most
end

-- <id>, or <queue>/<id> of another queue.
function schema.is_ref(value)
  if type(value) ~= 'string' then return false end
  local queue, id = string.match(value, '^([^/]*)/(.*)$')
  return keys.is_id(id or value) and (not queue or keys.is_name(queue))
end

schema.unknown = {met = false}                          -- whether a check met a word that a newer redsched may know

function schema.one_of(...)
  local known, words = {}, {...}
  for i = 1, #words do known[words[i]] = true end       -- no ipairs yet while a library is loaded
  return function(value)
    if type(value) ~= 'string' then return false end
    if not known[value] then schema.unknown.met = true end
    return known[value] == true
  end
end

function schema.list_of(is_good, most)
  return function(value)
    if type(value) ~= 'table' or #value < 1 or #value > most or not schema.has_at_most(value, #value) then return false end
    for _, one in ipairs(value) do
      if not is_good(one) then return false end
    end
    return true
  end
end

-- A check of an object that has only these members; those named as further arguments are required.
function schema.object_of(checks, ...)
  local needed = {...}
  return function(value)
    if type(value) ~= 'table' then return false end
    local good = true
    for name, one in pairs(value) do
      if not checks[name] then schema.unknown.met, good = true, false
      elseif not checks[name](one) then good = false end
    end
    for _, name in ipairs(needed) do good = good and value[name] ~= nil end
    return good
  end
end

local is_comparison = schema.object_of({
  fact = schema.is_fact, field = schema.is_short, exists = schema.is_flag, equals = schema.is_plain,
  ['in'] = schema.list_of(schema.is_plain, 64), less = is_number, greater = is_number,
}, 'fact')

-- A comparison, or {all: [...]} or {any: [...]} of tests; at most four deep.
function schema.is_test(value, depth)
  if type(value) ~= 'table' or depth == 0 then return false end
  local parts = value.all or value.any
  if not parts then return is_comparison(value) end
  local deeper = schema.list_of(function(one) return schema.is_test(one, (depth or 4) - 1) end, schema.MOST_TESTS)
  return deeper(parts) and next(value, next(value)) == nil
end

-- How many comparisons there are in a test; 0 for nil.
function schema.tests_in(test)
  local parts, n = test and (test.all or test.any), 0
  if not parts then return test and 1 or 0 end
  for _, one in ipairs(parts) do n = n + schema.tests_in(one) end
  return n
end

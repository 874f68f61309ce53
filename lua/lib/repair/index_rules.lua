-- index_rules: the rules of the keys by which tasks are found: each task is where its tags, its key and its id say, and
-- whoever is there is such a task. A member that is not is told of by itself, as the key stale:<member> <key>, however many
-- the key has.
--
-- USES  budget, keys, safe, errors, index

local KINDS, A_PAGE = {about = true, keyed = true, tagged = true}, 100

-- The kind of such a key, and what it is about; nil for any other key.
local function kind_of(name)
  local kind, what = string.match(name, '^(%a+):(.+)$')
  if KINDS[kind or ''] then return kind, what end
end

-- What a command answers; second: whether this caller may not ask.
local function ask(...)
  local ok, found = pcall(safe.call, ...)
  if not ok and not errors.is_denied(found) then error(found, 0) end
  return ok and found, not ok
end

-- Whether a task is missing where it has to be found. A raw producer's task is entered when it is due.
function index_rules.is_lacking(q, v)
  if v.state == 'scheduled' and not v.created_at then return false end
  for _, name in ipairs(index.names(v.id, v.tags, v.key)) do
    local score, denied = ask('ZSCORE', q.prefix .. name, q.name .. '/' .. v.id)
    if not score and not denied then return true end
  end
  return false
end

local function is_stale(prefix, name, member, score)
  local kind, what = kind_of(name)
  local queue, id = string.match(member, '^([^/]+)/(.+)$')
  if tonumber(score) ~= 0 or not keys.is_name(queue) or not keys.is_id(id) then return true end
  local key = prefix .. 'task:' .. queue .. ':' .. id
  local found, denied = ask('HMGET', key, 'tags', 'key', 'type', 'state')
  if denied then return false end
  return not found or not (found[1] or found[2] or found[3] or found[4] or redis.call('EXISTS', key) == 1)
    or not index.belongs(kind, what, id, found[1], found[2])
end

-- A stale member by its name; nil for any other name.
local function stale_of(name)
  local member, key = string.match(name, '^stale:(.-) (%a+:.+)$')
  if member and kind_of(key) then return member, key end
end

-- Judge the members of such a key from a place on. tell: called with the name of each that is stale. Answers whether it is such
-- a key, and where the next part goes on, if there is one.
function index_rules.judge_part(prefix, name, from, tell)
  if not kind_of(name) then return false end
  local at = tonumber(from) or 0
  repeat
    local page = safe.call('ZRANGE', prefix .. name, at, at + A_PAGE - 1, 'WITHSCORES') or {}
    for i = 1, #page, 2 do
      if is_stale(prefix, name, page[i], page[i + 1]) then tell('stale:' .. page[i] .. ' ' .. name) end
    end
    budget.spend(#page / 2)
    at = at + A_PAGE
    if #page < 2 * A_PAGE then return true end
  until budget.is_spent()
  return true, string.format('%d', at)
end

-- The rule that a stale member by this name breaks; false: it is well, or gone. nil: no such name.
function index_rules.fault(prefix, name)
  local member, key = stale_of(name)
  if not member then return nil end
  local score = safe.call('ZSCORE', prefix .. key, member)
  return score and is_stale(prefix, key, member, score) and 'stale_index' or false
end

-- Take a stale member out, or give it the score that it has to have.
function index_rules.mend(prefix, name)
  local member, key = stale_of(name)
  redis.call('ZADD', prefix .. key, 'XX', '0', member)
  if not is_stale(prefix, key, member, '0') then return 'kept' end
  redis.call('ZREM', prefix .. key, member)
  return 'dropped'
end

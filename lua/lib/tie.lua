-- tie: what a task with conditions is entered in: the listeners of its facts, the line of its key, its parents' children,
-- the lock of what has to be unique. The field bound says so: t while it is being entered, then p; c, of children that wait
-- for its end.

-- The name of the line in which it stands; nil where it stands in none.
local function line_of(plan, key)
  if plan.fifo then return key end
  if plan.unique and plan.unique.mode == 'keep_last' then return '~' .. plan.unique.key end
end

local function stand_in_line(q, id, name)
  local last = redis.call('ZRANGE', q.line .. name, -1, -1, 'WITHSCORES')
  redis.call('ZADD', q.line .. name, 'NX', text((tonumber(last[2] or '') or 0) + 1), id)
end

local LIVE = {scheduled = true, held = true, ready = true, running = true}

-- The one whose turn it is; those of whom nothing is left, or who have ended, leave the line.
local function first_in_line(q, name)
  for _ = 1, 100 do
    local first = (soft('ZRANGE', q.line .. name, 0, 0) or {})[1]
    if not first then return nil end
    local found = read(q.task .. first, 'state')
    if found and LIVE[state_of(found[1])] then return first end
    redis.call('ZREM', q.line .. name, first)
  end
end

local function bind(key, letter, old)
  old = old or redis.call('HGET', key, 'bound') or ''
  if string.find(old, letter, 1, true) then return end
  redis.call('HSET', key, 'bound', string.gsub(old, letter == 'p' and '[t-]' or '-', '') .. letter)
end

-- Enter a child at its parents. A parent that has ended counts at once. Answers false where one is not there.
local function follow(q, id, refs)
  local parents = q.parents .. id
  for _, ref in ipairs(refs) do
    local home, parent = ref_of(q, ref)
    local name = home.name .. '/' .. parent
    local found = read(home.task .. parent, 'state')
    if not found then return false end
    local known = redis.call('HMGET', parents, name, ':left')
    if not known[1] then
      local state = state_of(found[1])
      bind(home.task .. parent, 'c')
      redis.call('ZADD', home.children .. parent, 0, q.name .. '/' .. id)
      redis.call('HSET', parents, name, '', ':left', (tonumber(known[2] or '') or 0) + 1)
      if not LIVE[state] then remind(q.prefix, 'ended/' .. state .. '/' .. name, 0) end
    end
  end
  return true
end

-- Answers false where a parent is not there; what it is entered in until then does no harm.
local function tie(q, id, plan, key)
  for _, name in ipairs(facts_of(plan)) do
    redis.call('ZADD', q.prefix .. 'listeners:' .. name, 0, q.name .. '/' .. id)
  end
  local line = line_of(plan, key)
  if line then stand_in_line(q, id, line) end
  return not plan.after or follow(q, id, plan.after.ids)
end

-- Take it from all of them; whose turn it is in its line may go on.
local function untie_plan(q, id, plan, key, now)
  for _, name in ipairs(facts_of(plan)) do soft('ZREM', q.prefix .. 'listeners:' .. name, q.name .. '/' .. id) end
  local unique, line = plan.unique, line_of(plan, key)
  if unique and unique.release ~= 'ttl' and string.match(soft('GET', q.unique .. unique.key) or '', '^%S+') == id then
    redis.call('UNLINK', q.unique .. unique.key)
  end
  if not line or soft('ZREM', q.line .. line, id) ~= 1 then return end
  local first = first_in_line(q, line)
  if first and redis.call('HGET', q.task .. first, 'blocked') == 'line' then release_task(q, first, now) end
end

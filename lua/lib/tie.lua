-- tie: what a task with conditions is entered in: the listeners of its facts, the line of its key, its parents' children,
-- the lock of what has to be unique. The field bound says so: t while it is being entered, then p; c, of children that wait
-- for its end.

-- The names of the lines in which it stands: that of its key, and that of its unique key where the last one is kept. all:
-- in any case that of its unique key, in which it may have been put for those that wait for it.
local function lines_of(plan, key, all)
  local names, unique = {}, plan.unique
  if plan.fifo then names[1] = key end
  if unique and (all or unique.mode == 'keep_last') then names[#names + 1] = '~' .. unique.key end
  return names
end

-- Last in all of them, unless it stands in each already: two tasks that stand in two lines have the same order in both,
-- or they would wait for each other.
local function stand_in_lines(q, id, names)
  local is_in_all = true
  for _, name in ipairs(names) do is_in_all = is_in_all and redis.call('ZSCORE', q.line .. name, id) ~= false end
  if is_in_all then return end
  for _, name in ipairs(names) do
    local last = redis.call('ZRANGE', q.line .. name, -1, -1, 'WITHSCORES')
    redis.call('ZADD', q.line .. name, text((tonumber(last[2] or '') or 0) + 1), id)
  end
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

local function is_first_in_lines(q, id, plan, key)
  for _, name in ipairs(lines_of(plan, key)) do
    if first_in_line(q, name) ~= id then return false end
  end
  return true
end

local function bind(key, letter, old)
  old = old or redis.call('HGET', key, 'bound') or ''
  if string.find(old, letter, 1, true) then return end
  redis.call('HSET', key, 'bound', string.gsub(old, letter == 'p' and '[t-]' or '-', '') .. letter)
end

-- What the hash of a child says of these parents, by name, and of all.
local function known_parents(key, names)
  local values = redis.call('HMGET', key, ':left', ':failed', ':first', unpack(names))
  local known = {of = {}}
  known.left, known.failed = tonumber(values[1] or '') or 0, tonumber(values[2] or '') or 0
  known.first = values[3] ~= '' and values[3] or nil
  for i, name in ipairs(names) do known.of[name] = values[i + 3] or nil end
  return known
end

-- Enter a child at all of its parents, then write that it is. One that has ended counts at once. lost: hash -> what became of a
-- parent that is not there (gone, where nothing is said): it has ended without completing. Without it, answers false where one
-- is not there, or is the child itself.
local function follow(q, id, refs, lost)
  local homes, names, is_whole, said, ended = {}, {}, true, {}, {}
  for i, ref in ipairs(refs) do
    local home, parent = ref_of(q, ref)
    homes[i], names[i] = {home, parent}, home.name .. '/' .. parent
  end
  weigh(#refs / 2)
  local known = known_parents(q.parents .. id, names)
  local of = known.of
  for i, name in ipairs(names) do
    local home, parent = homes[i][1], homes[i][2]
    local hash = home.task .. parent
    local found = hash ~= q.task .. id and read(hash, 'state', 'bound')
    if not found and not of[name] and (not lost or hash == q.task .. id) then
      is_whole = false
    elseif not found and not of[name] then
      of[name] = (lost[hash] or 'gone') .. ' '
      known.failed, known.first = known.failed + 1, known.first or name .. ' ' .. (lost[hash] or 'gone')
      said[#said + 1], said[#said + 2] = name, of[name]
    elseif found and (not of[name] or of[name] == '') then
      if not of[name] then
        bind(hash, 'c', found[2] or '')
        redis.call('ZADD', home.children .. parent, 0, q.name .. '/' .. id)
        of[name], known.left = '', known.left + 1
        said[#said + 1], said[#said + 2] = name, ''
      end                                               -- else a call may have stopped before it said this
      local state = state_of(found[1])
      if not LIVE[state] then ended[#ended + 1] = 'ended/' .. state .. '/' .. name end
    end
  end
  if known.first then said[#said + 1], said[#said + 2] = ':first', known.first end
  if #said > 0 then redis.call('HSET', q.parents .. id, ':left', known.left, ':failed', known.failed, unpack(said)) end
  for _, item in ipairs(ended) do remind_from_start(q.prefix, item, 0) end
  return is_whole
end

-- Answers false where a parent is not there (see follow); what it is entered in until then does no harm.
local function tie(q, id, plan, key, lost)
  local names = facts_of(plan)
  weigh(#names / 4)
  for _, name in ipairs(names) do redis.call('ZADD', q.prefix .. 'listeners:' .. name, 0, q.name .. '/' .. id) end
  stand_in_lines(q, id, lines_of(plan, key))
  return not plan.after or follow(q, id, plan.after.ids, lost)
end

-- Take it from all of them; whose turn it is in its line may go on.
local function untie_plan(q, id, plan, key, now)
  for _, name in ipairs(facts_of(plan)) do soft('ZREM', q.prefix .. 'listeners:' .. name, q.name .. '/' .. id) end
  local unique = plan.unique
  if unique and unique.release ~= 'ttl' and string.match(soft('GET', q.unique .. unique.key) or '', '^%S+') == id then
    redis.call('UNLINK', q.unique .. unique.key)
  end
  for _, name in ipairs(lines_of(plan, key, true)) do
    local first = soft('ZREM', q.line .. name, id) == 1 and first_in_line(q, name)
    if first and redis.call('HGET', q.task .. first, 'blocked') == 'line' then release_task(q, first, now) end
  end
end

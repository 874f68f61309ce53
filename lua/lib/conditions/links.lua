-- links: where a task with conditions is entered: among the listeners of its facts, in the line of its key, among the
-- children of its parents, in the lock of its unique key. The field bound says so: t while it is being entered, then p; c:
-- it has children that wait for its end.
--
-- USES  budget, clock, safe, hash, conditions, reminders, holds

-- The names of the lines in which a task stands: the line of its key, and the line of its unique key if the mode is
-- keep_last. all: the line of its unique key in any case; it may stand there because others wait for it.
function links.lines_of(plan, key, all)
  local names, unique = {}, plan.unique
  if plan.fifo then names[1] = key end
  if unique and (all or unique.mode == 'keep_last') then names[#names + 1] = '~' .. unique.key end
  return names
end

-- Put a task at the end of all its lines, unless it stands in each already. Two tasks that stand in two lines have the same
-- order in both; else they would wait for each other.
function links.stand_in_lines(q, id, names)
  local is_in_all = true
  for _, name in ipairs(names) do is_in_all = is_in_all and redis.call('ZSCORE', q.line .. name, id) ~= false end
  if is_in_all then return end
  for _, name in ipairs(names) do
    local last = redis.call('ZRANGE', q.line .. name, -1, -1, 'WITHSCORES')
    redis.call('ZADD', q.line .. name, clock.text((tonumber(last[2] or '') or 0) + 1), id)
  end
end

-- The task whose turn it is in a line. Tasks that were removed or have ended leave the line.
function links.first_in_line(q, name)
  for _ = 1, 100 do
    local first = (safe.call('ZRANGE', q.line .. name, 0, 0) or {})[1]
    if not first then return nil end
    local found = hash.read(q.task .. first, 'state')
    if found and hash.LIVE[hash.state_of(found[1])] then return first end
    redis.call('ZREM', q.line .. name, first)
  end
end

function links.is_first_in_lines(q, id, plan, key)
  for _, name in ipairs(links.lines_of(plan, key)) do
    if links.first_in_line(q, name) ~= id then return false end
  end
  return true
end

function links.mark(key, letter, old)
  old = old or redis.call('HGET', key, 'bound') or ''
  if string.find(old, letter, 1, true) then return end
  redis.call('HSET', key, 'bound', string.gsub(old, letter == 'p' and '[t-]' or '-', '') .. letter)
end

-- What the hash of a child says of these parents by name (of), and in sum.
local function known_parents(key, names)
  local values = redis.call('HMGET', key, ':left', ':failed', ':first', unpack(names))
  local known = {of = {}}
  known.left, known.failed = tonumber(values[1] or '') or 0, tonumber(values[2] or '') or 0
  known.first = values[3] ~= '' and values[3] or nil
  for i, name in ipairs(names) do known.of[name] = values[i + 3] or nil end
  return known
end

-- Enter a child at all of its parents, then write that into its hash. A parent that has ended counts at once. lost: key of a
-- parent that does not exist -> what became of it (gone if lost does not say); it counts as failed. Without lost, answers
-- false if a parent does not exist or is the child itself.
function links.follow(q, id, refs, lost)
  local homes, names, is_whole, said, ended = {}, {}, true, {}, {}
  for i, ref in ipairs(refs) do
    local home, parent = conditions.resolve(q, ref)
    homes[i], names[i] = {home, parent}, home.name .. '/' .. parent
  end
  budget.spend(#refs / 2)
  local known = known_parents(q.parents .. id, names)
  local of = known.of
  for i, name in ipairs(names) do
    local home, parent = homes[i][1], homes[i][2]
    local parent_key = home.task .. parent
    local found = parent_key ~= q.task .. id and hash.read(parent_key, 'state', 'bound')
    if not found and not of[name] and (not lost or parent_key == q.task .. id) then
      is_whole = false
    elseif not found and not of[name] then
      of[name] = (lost[parent_key] or 'gone') .. ' '
      known.failed, known.first = known.failed + 1, known.first or name .. ' ' .. (lost[parent_key] or 'gone')
      said[#said + 1], said[#said + 2] = name, of[name]
    elseif found and (not of[name] or of[name] == '') then
      if not of[name] then
        links.mark(parent_key, 'c', found[2] or '')
        redis.call('ZADD', home.children .. parent, 0, q.name .. '/' .. id)
        of[name], known.left = '', known.left + 1
        said[#said + 1], said[#said + 2] = name, ''
      end                                               -- else an earlier call stopped before it wrote this
      local state = hash.state_of(found[1])
      if not hash.LIVE[state] then ended[#ended + 1] = 'ended/' .. state .. '/' .. name end
    end
  end
  if known.first then said[#said + 1], said[#said + 2] = ':first', known.first end
  if #said > 0 then redis.call('HSET', q.parents .. id, ':left', known.left, ':failed', known.failed, unpack(said)) end
  for _, item in ipairs(ended) do reminders.add_from_start(q.prefix, item, 0) end
  return is_whole
end

-- Enter a task everywhere its conditions say. Answers false if a parent does not exist (see links.follow); what was entered
-- before that does no harm.
function links.enter(q, id, plan, key, lost)
  local names = conditions.facts(plan)
  budget.spend(#names / 4)
  for _, name in ipairs(names) do redis.call('ZADD', q.prefix .. 'listeners:' .. name, 0, q.name .. '/' .. id) end
  links.stand_in_lines(q, id, links.lines_of(plan, key))
  return not plan.after or links.follow(q, id, plan.after.ids, lost)
end

-- Take a task out of everything that it was entered in. The task whose turn it then is in a line goes on.
function links.leave(q, id, plan, key, now)
  for _, name in ipairs(conditions.facts(plan)) do safe.call('ZREM', q.prefix .. 'listeners:' .. name, q.name .. '/' .. id) end
  local unique = plan.unique
  if unique and unique.release ~= 'ttl' and string.match(safe.call('GET', q.unique .. unique.key) or '', '^%S+') == id then
    redis.call('UNLINK', q.unique .. unique.key)
  end
  for _, name in ipairs(links.lines_of(plan, key, true)) do
    local first = safe.call('ZREM', q.line .. name, id) == 1 and links.first_in_line(q, name)
    if first and redis.call('HGET', q.task .. first, 'blocked') == 'line' then holds.release(q, first, now) end
  end
end

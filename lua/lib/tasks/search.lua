-- search: which tasks a filter chooses, where they are looked for, and what is told of each.
--
-- USES  budget, clock, keys, check, safe, hash, errors, pages, index

local PLACES = {due = true, held = true, ready = true, running = true, finished = true, dead = true}
local FOUND_BY = {about = true, keyed = true, tagged = true}
local TIMES = {due = 'due', created = 'created', ended = 'ended'}   -- each with _from and _to
local WORDS = {subject = true, key = true, tag = true, type = true, state = true, queue = true, reason = true, id = true}

-- A time of a filter, ms: an instant, or +ms or -ms from now.
local function time_of(value, now)
  local sign, ms = string.match(value, '^([+-]?)(%d+)$')
  if not ms or #ms > 15 then return nil end
  return sign == '+' and now + tonumber(ms) or sign == '-' and now - tonumber(ms) or tonumber(ms)
end

-- Read the words of a filter; nil and why if it is none.
function search.filter(words, first, now)
  local f = {tags = {}, times = {}, names = {}}
  for at = first, #words, 2 do
    local name, value = words[at], words[at + 1]
    local kind, side = string.match(name, '^(%a+)_(%a+)$')
    if not value then return nil, 'filter must be names with values' end
    if TIMES[kind or ''] and (side == 'from' or side == 'to') then
      local time = time_of(value, now)
      if not time then return nil, 'filter has a time that is none' end
      f.times[kind] = f.times[kind] or {from = -math.huge, to = math.huge}
      f.times[kind][side] = time
    elseif not WORDS[name] then
      return nil, 'filter has a name that is unknown'
    elseif name == 'tag' then
      f.tags[#f.tags + 1], f.names[#f.names + 1] = value, 'tagged:' .. value
    elseif name == 'state' then
      f.states = {}
      for state in string.gmatch(value, '[^,]+') do f.states[state] = true end
    else
      f[name] = value
    end
  end
  if f.key then f.names[#f.names + 1] = 'keyed:' .. f.key end
  if f.subject then f.names[#f.names + 1] = 'about:' .. f.subject end
  return f
end

-- Of the keys that name tasks of the filter, the one with the fewest; nil if the filter names none.
function search.smallest(prefix, f)
  local best, least = nil, nil
  for _, name in ipairs(f.names) do
    local n = safe.call('ZCARD', prefix .. name) or 0
    if not least or n < least then best, least = name, n end
  end
  return best
end

-- A page of <queue>/<id> in order of these texts.
local function named(key, cursor, limit, queue)
  local low, high = '-', '+'
  if queue then low, high = '[' .. queue .. '/', '(' .. queue .. '0' end   -- 0 comes after /
  if cursor ~= '' then low = '(' .. cursor end
  local members, found = safe.call('ZRANGE', key, low, high, 'BYLEX', 'LIMIT', 0, limit) or {}, {}
  for i, member in ipairs(members) do
    local home, id = string.match(member, '^([^/]+)/(.+)$')
    found[i] = keys.is_name(home) and keys.is_id(id) and {home, id} or {}
  end
  return found, #members < limit and '' or members[#members], function(n) return members[n] end
end

-- A page of the members of a place of a queue, in its order.
local function placed(q, place, cursor, limit, f)
  local page, following, after
  if place == 'ready' then
    page, following = pages.of_streams(q, cursor, limit)
    after = function(n) return page[n][2] end
  else
    if place == 'due' and cursor == '' and f.times.due and f.times.due.from > 0 then
      cursor = string.format('%.0f 0', f.times.due.from)
    end
    page, following, after = pages.of_set(q[place], cursor, limit)
  end
  local found = {}
  for i, item in ipairs(page) do
    if place == 'due' and f.times.due and tonumber(item[2]) > f.times.due.to then return found, '', after end
    found[i] = keys.is_id(item[1]) and {q.name, item[1], place == 'due' and item[2] or nil} or {}
  end
  return found, following, after
end

-- A page of the queues in which an id is, or was.
local function in_queues(queues, prefix, id, cursor, limit, only)
  local scan, found = {'0', {only}}, {}
  if not only then scan = safe.call('SSCAN', queues, string.match(cursor, '^%d+$') or '0', 'COUNT', limit) or {'0', {}} end
  if not keys.is_id(id) then return found, '' end
  for _, name in ipairs(scan[2]) do
    local there = keys.is_name(name) and redis.pcall('EXISTS', prefix .. 'task:' .. name .. ':' .. id)   -- it may be denied
    if there == 1 or there and safe.call('ZSCORE', prefix .. 'forgotten', name .. '/' .. id) then
      found[#found + 1] = {name, id}
    end
  end
  return found, scan[1] == '0' and '' or scan[1], nil
end

-- A page of those that are looked at: lists of queue, id and, where it is known, due time. Also the cursor of the next page
-- and, if a page can be cut, a function that gives the cursor behind a place of it. nil: there is no such source.
function search.page(queues, prefix, source, cursor, limit, f)
  local kind, what = string.match(source, '^(%a+):(.+)$')
  if kind == 'id' then return in_queues(queues, prefix, what, cursor, limit, f.queue) end
  if FOUND_BY[kind or ''] then return named(prefix .. source, cursor, limit, f.queue) end
  if PLACES[kind or ''] and keys.is_name(what) then return placed(keys.open(prefix .. 'due:' .. what), kind, cursor, limit, f) end
end

-- A tag that is nowhere in the text is none of it, unless the text escapes something: mostly no JSON has to be read.
local function has_tags(text, wanted)
  local as_written = text and not string.find(text, '\\', 1, true)
  for _, tag in ipairs(wanted) do
    if as_written and not string.find(text, tag, 1, true) or not index.belongs('tagged', tag, '', text) then return false end
  end
  return true
end

local function is_within(value, range)
  local time = value and tonumber(value)
  return not range or time and time >= range.from and time <= range.to
end

-- Whether its state, type and tags, read alone, rule a task out: reading these is several times as fast as reading all. One tag
-- is mostly that of the key in which the task was found, so the tags are read where there are two.
local function is_ruled_out(f, key)
  if not (f.type or f.states or f.tags[2]) then return false end
  local found = redis.pcall('HMGET', key, 'state', 'type', f.tags[2] and 'tags' or 'state')
  if found.err then return false end                    -- the next look says what is wrong
  local state = hash.state_of(found[1])
  return f.type and found[2] ~= f.type or f.states and not (f.states[state] or hash.FINISHED[state] and f.states.finished)
    or f.tags[2] and not has_tags(found[3], f.tags)
end

-- What is told of a task that the filter chooses: its queue and id, its score in due, and its fields as list tells them. nil: it
-- is not chosen, is gone, or is of a queue that this caller may not read.
function search.row(prefix, f, queue, id, due)
  if f.queue and f.queue ~= queue or f.id and f.id ~= id then return nil end
  local q = keys.open(prefix .. 'due:' .. queue)
  budget.spend(0.3)
  if is_ruled_out(f, q.task .. id) then return nil end
  budget.spend(0.4)
  local found = redis.pcall('HMGET', q.task .. id, 'state', 'type', 'priority', 'attempt', 'due_at', 'created_at',
    'started_at', 'finished_at', 'expires_at', 'key', 'tags', 'worker', 'reason')
  if found.err and (errors.is_denied(found) or string.find(tostring(found.err), 'WRONGTYPE', 1, true)) then return nil end
  if found.err then error(found) end
  local state = hash.state_of(found[1])
  if not (found[1] or found[2] or found[6]) or f.type and found[2] ~= f.type or f.reason and found[13] ~= f.reason
      or f.key and found[10] ~= f.key or f.states and not (f.states[state] or hash.FINISHED[state] and f.states.finished)
      or f.subject and not index.belongs('about', f.subject, id) or not has_tags(found[11], f.tags)
      or not is_within(found[6], f.times.created) or not is_within(found[8], f.times.ended) then return nil end
  if state == 'scheduled' then due = due or safe.call('ZSCORE', q.due, id) else due = nil end
  if not is_within(due or found[5], f.times.due) then return nil end
  budget.spend((#(found[11] or '') + #(found[13] or '')) / 1024)
  return {queue, id, due or '', state, unpack(found, 2, 13)}
end

-- When a task was removed that this id named, ms; nil if that is not known.
function search.removed(prefix, queue, id, now)
  local at = check.whole(safe.call('ZSCORE', prefix .. 'forgotten', queue .. '/' .. id) or '', 0, 4e12)
  return at and at > now - 86400000 and clock.text(at) or nil
end

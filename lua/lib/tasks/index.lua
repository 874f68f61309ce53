-- index: under which keys a task is found by a tag, by its key and by its subject, which is its id up to the first colon. A
-- task that has none of them is in none of these keys. Entries only help people who search: whatever is wrong with these
-- keys, a task's change stands. An entry is written before its task and leaves before it, so a stop half-way leaves an entry
-- too many, which a search looks through. The doctor puts in what is missing.
--
-- USES  nothing

local MOST_TAGS, LONGEST_TAG = 16, 512                  -- of a task; bytes: as many as clients give
local last_text, last_tags = nil, {}                    -- the tasks of a call mostly have the same tags

-- The tags under which a task is found, of the JSON text of its field.
local function tags_of(text)
  if text == last_text then return last_tags end
  local ok, found = pcall(cjson.decode, text)
  local tags, seen = {}, {}
  for _, tag in ipairs(ok and type(found) == 'table' and found or {}) do
    if type(tag) == 'string' and tag ~= '' and #tag <= LONGEST_TAG and not seen[tag] and #tags < MOST_TAGS then
      tags[#tags + 1], seen[tag] = tag, true
    end
  end
  last_text, last_tags = text, tags
  return tags
end

-- The subject of an id; nil if it has no colon.
local function subject_of(id)
  local colon = string.find(id, ':', 2, true)
  return colon and string.sub(id, 1, colon - 1) or nil
end

-- The names, without the prefix, of the keys that a task is in. tags, key: its fields; false or nil where it has none.
function index.names(id, tags, key)
  local names, subject = {}, subject_of(id)
  if subject then names[1] = 'about:' .. subject end
  if key and key ~= '' then names[#names + 1] = 'keyed:' .. key end
  for _, tag in ipairs(tags and tags ~= '' and tags_of(tags) or {}) do names[#names + 1] = 'tagged:' .. tag end
  return names
end

-- Note that the namespace has tasks with tags or keys, so that a sweep need not look for them in tasks of one that has none.
local function note(q) redis.pcall('SET', q.prefix .. 'indexed', '1') end

-- Whether the namespace has had such tasks.
function index.is_used(q) return redis.call('EXISTS', q.prefix .. 'indexed') == 1 end

-- Before a task is written.
function index.add(q, id, tags, key)
  if not (tags or key or string.find(id, ':', 2, true)) then return end
  if tags or key then note(q) end
  for _, name in ipairs(index.names(id, tags, key)) do redis.pcall('ZADD', q.prefix .. name, '0', q.name .. '/' .. id) end
end

-- The same for a task that has only a subject.
function index.add_subject(q, id, colon)
  redis.pcall('ZADD', q.prefix .. 'about:' .. string.sub(id, 1, colon - 1), '0', q.name .. '/' .. id)
end

-- Before a task is removed.
function index.remove(q, id, tags, key)
  if not (tags or key or string.find(id, ':', 2, true)) then return end
  for _, name in ipairs(index.names(id, tags, key)) do redis.pcall('ZREM', q.prefix .. name, q.name .. '/' .. id) end
end

-- The same for a task of which nothing is read yet.
function index.forget(q, id)
  local found = redis.pcall('HMGET', q.task .. id, 'tags', 'key')
  if not found.err then index.remove(q, id, found[1], found[2]) end
end

-- Before fields of a task are changed: enter it where the new ones ask for it. given: field -> new value. Answers the names of
-- the keys that it leaves once they are changed.
function index.enter(q, id, given)
  local found = redis.call('HMGET', q.task .. id, 'tags', 'key')
  local old, now, stays = index.names(id, found[1], found[2]), nil, {}
  now = index.names(id, given.tags or found[1], given.key or found[2])
  if given.tags or given.key then note(q) end
  for _, name in ipairs(now) do
    stays[name] = true
    redis.pcall('ZADD', q.prefix .. name, '0', q.name .. '/' .. id)
  end
  local leaves = {}
  for _, name in ipairs(old) do
    if not stays[name] then leaves[#leaves + 1] = name end
  end
  return leaves
end

-- After that.
function index.leave(q, id, leaves)
  for _, name in ipairs(leaves) do redis.pcall('ZREM', q.prefix .. name, q.name .. '/' .. id) end
end

-- Whether a task belongs to a key of these. kind: about, keyed or tagged; what: the rest of the key's name.
function index.belongs(kind, what, id, tags, key)
  if kind == 'about' then return subject_of(id) == what end
  if kind == 'keyed' then return key == what end
  for _, tag in ipairs(tags and tags_of(tags) or {}) do
    if tag == what then return true end
  end
  return false
end

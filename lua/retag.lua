-- retag: add tags to tasks and take others from them, whatever their state.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   add     string  JSON array of up to 16 texts
-- ARGV   remove  string  the same; no tag may be in both
-- ARGV   id...   string  1..1000 ids
-- REPLY  {word...}       retagged | unchanged | full (it would have more than 16 tags, or 4096 bytes of them: nothing was
--                        written) | moved (to another queue: nothing was written) | missing, in order; error RS_INVALID 1
--                        <field> <why> before anything is written
-- FLAGS  none
-- USES   clock, keys, hash, events, fields, index

local q = keys.open(KEYS[1])
clock.now(q.prefix, ARGV[1])
local MOST, changes = 16, {add = ARGV[2], remove = ARGV[3]}
for name, text in pairs(changes) do
  local ok = #text <= fields.LONGEST.tags and fields.usable('tags', text, 0)
  changes[name] = ok and cjson.decode(text)
  if not ok or #changes[name] > MOST then return redis.error_reply('RS_INVALID 1 tags must be JSON arrays of up to 16 texts') end
end
local gone = {}
for _, tag in ipairs(changes.remove) do gone[tag] = true end
for _, tag in ipairs(changes.add) do
  if gone[tag] then return redis.error_reply('RS_INVALID 1 add has a tag that remove has too; give each in one of them') end
end

-- The tags that a task then has.
local function changed(text)
  local ok, old = pcall(cjson.decode, text or '[]')
  local tags, seen = {}, {}
  for _, list in ipairs({ok and type(old) == 'table' and old or {}, changes.add}) do
    for _, tag in ipairs(list) do
      if type(tag) == 'string' and not seen[tag] and (list == changes.add or not gone[tag]) then
        tags[#tags + 1], seen[tag] = tag, true
      end
    end
  end
  return tags
end

local function retag(id)
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'tags', 'reason')
  if not found then return 'missing' end
  if hash.moved_to(found[1], found[3]) then return 'moved' end
  local tags = changed(found[2])
  local text = #tags > 0 and cjson.encode(tags) or ''
  if #tags > MOST or #text > fields.LONGEST.tags then return 'full' end
  if text == (found[2] or '') then return 'unchanged' end
  local leaves = index.enter(q, id, {tags = text})
  if text == '' then redis.call('HDEL', q.task .. id, 'tags') else redis.call('HSET', q.task .. id, 'tags', text) end
  index.leave(q, id, leaves)
  events.tell(q, 'updated', id)
  return 'retagged'
end

local answers = {}
for i = 4, #ARGV do answers[i - 3] = retag(ARGV[i]) end
return answers

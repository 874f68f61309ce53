-- types: what is known of the types of tasks: all of them, some each call, or those that are named.
--
-- KEYS   types    hash    {namespace}:types
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   after    string  '' or the last type of the page before
-- ARGV   limit    int     1..200
-- ARGV   schemas  int     1: with the schemas, of at most 20 types a call; 2: where ids of types are
-- ARGV   type...  string  none: a page; else up to 1000 types; with schemas 2: up to 100 types, an id after each
-- REPLY  {more, type...}  more: 1 where a page follows; each type {name, line, defaults, schema, lives}, and nil for one that is
--                         named and not known. line: <queue> <app> <version or -> <start of the worker that put it, ms>, then
--                         <queue> <ms> for each of up to 4 queues that it had before, the latest first, and when it was left;
--                         defaults and schema as put_types takes them; lives: whether a worker of this version lives.
--                         With schemas 2, for each type and id in place of the type: which of its queues, former ones first,
--                         has a task of this type and id, whatever its state, '' if none. Where it was moved, the queue it is in
-- FLAGS  no-writes
-- USES   clock, safe, type_queues, versions

local registry, after, wanted = KEYS[1] or '', ARGV[2], ARGV[4]
local prefix = string.match(registry, '^({[^{}]+}:)types$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:types') end
local schemas, reply, names = wanted == '1', {0}, {}
local now, limit = clock.now(prefix, ARGV[1]), math.min(tonumber(ARGV[3]), schemas and 20 or 200)

if wanted == '2' then
  for i = 5, math.min(#ARGV, 204), 2 do
    reply[#reply + 1] = type_queues.place(prefix, ARGV[i], ARGV[i + 1] or '', now) or ''
  end
  return reply
end
for i = 5, math.min(#ARGV, schemas and 24 or 1004) do names[#names + 1] = ARGV[i] end
if #ARGV < 5 then
  local all = safe.call('HKEYS', registry) or {}
  table.sort(all)
  for _, name in ipairs(all) do
    if name > after then
      if #names >= math.max(limit, 1) then
        reply[1] = 1
        break
      end
      names[#names + 1] = name
    end
  end
end
for _, name in ipairs(names) do
  local line = safe.call('HGET', registry, name)
  local app, version = string.match(line or '', '^%S+ (%S+) (%S+)')
  local told, _, others = type_queues.split(line or '', now)
  reply[#reply + 1] = line and {
    name, type_queues.joined(told, others), safe.call('HGET', prefix .. 'defaults', name) or '',
    schemas and safe.call('HGET', prefix .. 'schemas', name) or '',
    app and versions.lives(prefix, app, version, now) and 1 or 0,
  } or false
end
return reply

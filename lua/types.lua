-- types: what is known of the types of tasks: all of them, some each call, or those that are named.
--
-- KEYS   types    hash    {namespace}:types
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   after    string  '' or the last type of the page before
-- ARGV   limit    int     1..200
-- ARGV   schemas  int     1: with the schemas, of at most 20 types a call
-- ARGV   type...  string  none: a page; else up to 1000 types
-- REPLY  {more, type...}  more: 1 where a page follows; each type {name, line, defaults, schema, lives}, and nil for one that is
--                         named and not known. line: <queue> <app> <version or -> <start of the worker that put it, ms>;
--                         defaults and schema as put_types takes them; lives: whether a worker of this version lives
-- FLAGS  no-writes
-- USES   clock, safe, versions

local registry, after, schemas = KEYS[1] or '', ARGV[2], ARGV[4] == '1'
local prefix = string.match(registry, '^({[^{}]+}:)types$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:types') end
local now, limit, reply, names = clock.now(prefix, ARGV[1]), math.min(tonumber(ARGV[3]), schemas and 20 or 200), {0}, {}

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
  reply[#reply + 1] = line and {
    name, line, safe.call('HGET', prefix .. 'defaults', name) or '',
    schemas and safe.call('HGET', prefix .. 'schemas', name) or '',
    app and versions.lives(prefix, app, version, now) and 1 or 0,
  } or false
end
return reply

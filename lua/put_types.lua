-- put_types: say that a worker of an application lives, and put what its code says of its types. The newest version of the
-- application with a worker that lives rules; of one version, the worker that started last.
--
-- KEYS   types    hash    {namespace}:types
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   app      string  a name
-- ARGV   version  string  1 to 8 numbers with dots between them, or '-': older than any
-- ARGV   worker   string  1..128 of [A-Za-z0-9._@+:-]
-- ARGV   started  int     when the worker started, ms since the epoch; 0: it ends, and puts nothing
-- ARGV   type...  words   4 words each, up to 50: a name, its queue, defaults and schema. Defaults: '' or a JSON list of field,
--                         value, ... as enqueue takes them (lua/README.md); schema: '' or JSON, at most 65536 bytes
-- REPLY  {version, word...}  the version that rules, '' if no worker lives; for each type, in order: put | same | older (a newer
--                         version, or a later worker of this one, has put it) | other <app> (of which a worker lives, and which
--                         has it) | full (there are 5000 already); error RS_INVALID 1 <field> <why>: nothing was written
-- FLAGS  none
-- USES   clock, keys, check, events, type_defaults, type_queues, versions

local registry, started = KEYS[1] or '', check.whole(ARGV[5] or '', 0, 4e12)
local prefix = string.match(registry, '^({[^{}]+}:)types$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:types') end
local now, app, version, worker = clock.now(prefix, ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local function refuse(field, why) return redis.error_reply('RS_INVALID 1 ' .. field .. ' ' .. why) end
if not keys.is_name(app) then return refuse('app', 'must be 1 to 100 of [A-Za-z0-9._@+-]') end
if not versions.numbers(version or '') then return refuse('version', 'must be 1 to 8 numbers with dots between them, or -') end
if not keys.is_id(worker) then return refuse('worker', 'must be 1 to 128 of [A-Za-z0-9._@+:-]') end
if not started then return refuse('started', 'must be ms since the epoch, or 0') end
if #ARGV > 205 or (#ARGV - 5) % 4 > 0 then return refuse('types', 'must be up to 50, of 4 words each') end
for i = 6, #ARGV, 4 do
  if not keys.is_name(ARGV[i]) then return refuse('type', 'must be 1 to 100 of [A-Za-z0-9._@+-]') end
  if not keys.is_name(ARGV[i + 1]) then return refuse('queue', 'must be 1 to 100 of [A-Za-z0-9._@+-]') end
  local defaults = ARGV[i + 2] == '' or type_defaults.parse(ARGV[i + 2])
  if not defaults then return refuse('defaults', 'must be a JSON list of fields and values') end
  if #ARGV[i + 3] > 65536 then return refuse('schema', 'is too long') end
end

if started == 0 then
  versions.leave(prefix, app, version, worker, now)
  return {versions.ruling(prefix, app, now) or ''}
end
versions.note(prefix, app, version, worker, now)

local function keep(key, name, value)
  if value == '' then redis.call('HDEL', prefix .. key, name) else redis.call('HSET', prefix .. key, name, value) end
end

-- Put one type, its line last: a call that stops half-way leaves what the same call, repeated, mends.
local function put(name, queue, defaults, payloads)
  local line, old = table.concat({queue, app, version, clock.text(started)}, ' '), redis.call('HGET', registry, name)
  local first = old and type_queues.split(old, now)
  local old_queue, owner, of, since = string.match(first or '', '^(%S+) (%S+) (%S+) (%d+)$')
  if first == line then return 'same' end
  if not owner then
    if not old and redis.call('HLEN', registry) >= type_defaults.MOST then return 'full' end
  elseif owner ~= app then
    if versions.lives(prefix, owner, nil, now) then return 'other ' .. owner end
  else
    local order = versions.compare(of, version)
    if order > 0 and versions.lives(prefix, app, of, now) or order == 0 and tonumber(since) > started then return 'older' end
  end
  keep('defaults', name, defaults)
  keep('schemas', name, payloads)
  redis.call('HSET', registry, name, type_queues.joined(line, type_queues.formers(old, queue, now)))
  if old_queue ~= queue or owner ~= app or of ~= version then
    events.tell(keys.open(prefix .. 'due:' .. queue), 'type_put', name, 'app', app, 'version', version)
  end
  return 'put'
end

local ruling = versions.ruling(prefix, app, now)
local reply = {versions.compare(ruling, version) == 0 and version or ruling}
for i = 6, #ARGV, 4 do reply[#reply + 1] = put(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end
return reply

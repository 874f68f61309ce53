-- put_schedule: create or replace a recurring schedule. The same again changes nothing; a mover plans its first slot at once.
--
-- KEYS   due       zset    {namespace}:due:<queue>, the queue of its tasks
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id        string  1..100 of [A-Za-z0-9._@+-], the first a letter or digit
-- ARGV   mode      string  '' | create (only where there is none) | dry (write nothing) | replan (look at it now) |
--                          =<rev> (only where that is its rev)
-- ARGV   spec      string  JSON: when it fires and its policies, as lua/README.md says
-- ARGV   field...  words   field, value, ... of its tasks, as in enqueue; expires_at only as +ms, from the planned time
-- REPLY  {word, rev, now}  created | updated | unchanged | exists | changed (another rev); rev grows with each change;
--                          error RS_INVALID 1 <field> <why>
-- FLAGS  none
-- USES   clock, keys, check, events, fields, schedules, former, calendar_changes

local q, id, mode, spec = keys.open(KEYS[1]), ARGV[2], ARGV[3], ARGV[4]
local now = clock.now(q.prefix, ARGV[1])
local function refuse(field, why) return redis.error_reply('RS_INVALID 1 ' .. field .. ' ' .. why) end

if not keys.is_name(id) then return refuse('id', 'must be 1 to 100 of [A-Za-z0-9._@+-] and begin with a letter or digit') end
local found = schedules.decoded(spec)
if #spec > 65536 or not next(found) then return refuse('spec', 'must be a JSON object of at most 64 KiB') end
if found.overlap and not schedules.OVERLAPS[found.overlap] then return refuse('overlap', 'is unknown') end
if found.after_completion and not check.in_range(found.after_completion, 0, 1e13) then
  return refuse('after_completion', 'must be ms')
end
if found.max_runs and not check.in_range(found.max_runs, 1, 1e15) then return refuse('max_runs', 'must be 1 or more') end
for _, one in pairs(type(found.every) == 'table' and found.every or {found.every}) do
  if type(one) ~= 'table' or not check.in_range(one.every, 1000, 1e13) or not check.in_range(one.phase or 0, 0, 1e13) then
    return refuse('every', 'must be a list of {every, phase}, in ms')
  end
end
local given = {}
for i = 5, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1] or ''
  local stored, why = fields.usable(field, value, now)
  if not stored then return refuse(fields.LONGEST[field] and field or 'fields', why) end
  if field == 'expires_at' and not string.find(value, '^%+%d+$') then return refuse(field, 'must be +ms') end
  given['task:' .. field] = value
end
if not given['task:type'] then return refuse('type', 'is required') end
if not given['task:payload'] then return refuse('payload', 'is required') end

local s = schedules.read(q.prefix, id)
if s and mode == 'create' then return {'exists', schedules.counter(s, 'rev'), now} end
local wanted = string.match(mode, '^=(%d+)$')
if wanted and wanted ~= (s and s.f.rev or '0') then return {'changed', s and schedules.counter(s, 'rev') or 0, now} end
local same = s and s.f.spec == spec and s.f.queue == q.name
for name, value in pairs(given) do same = same and s.f[name] == value end
for name in pairs(s and s.f or {}) do same = same and (given[name] or string.sub(name, 1, 5) ~= 'task:') end
local mended = s and string.find(s.f.paused or '', '^malformed') and true
if same and mode ~= 'replan' and not mended then return {'unchanged', schedules.counter(s, 'rev'), now} end
local word, rev = s and 'updated' or 'created', (s and schedules.counter(s, 'rev') or 0) + 1
if mode == 'dry' then return {word, rev, now} end

if not s then
  s = schedules.blank(q.prefix, id)
  redis.call('UNLINK', s.key)
  schedules.set(s, 'created_at', clock.text(now))
end
for name in pairs(s.f) do
  if string.sub(name, 1, 5) == 'task:' and not given[name] then schedules.set(s, name) end
end
for name, value in pairs(given) do schedules.set(s, name, value) end
schedules.set(s, 'queue', q.name)
schedules.set(s, 'rev', clock.text(rev))
if not former.same_times(s.spec, found) then
  schedules.set(s, 'slot', calendar_changes.search_from(s.f, calendar_changes.first(q.prefix)) or s.f.slot)
  if s.f.ended or mended or not s.f.spec or not former.keep(q, s, now) then schedules.set(s, 'slot') end
  schedules.set(s, 'changed_at', clock.text(now))
  schedules.set(s, 'last')
  schedules.set(s, 'ended')
elseif not former.equal(s.spec.max_runs, found.max_runs) then
  schedules.set(s, 'ended')
end
schedules.set(s, 'spec', spec)
if mended then schedules.resume(q, s, now) end
if not s.f.paused and not s.f.ended then schedules.look_at(s, 0) end   -- first its place, then the hash
schedules.save(s)
events.tell(q, 'schedule_put', id, 'word', word)
return {word, rev, now}

-- put_schedule: create or replace a recurring schedule. The same again changes nothing; a mover plans its first slot at once.
--
-- KEYS   due       zset    {namespace}:due:<queue>, the queue of its tasks
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id        string  1..100 of [A-Za-z0-9._@+-], the first a letter or digit
-- ARGV   mode      string  '' | create (only where there is none) | dry (write nothing) | replan (look at it now) |
--                          =<rev> (only where that is its rev)
-- ARGV   spec      string  JSON: when it fires and its policies, as lua/README.md says
-- ARGV   field...  words   field, value, ... of its tasks, as in enqueue; expires_at only as +ms, from the planned time. And
--                          owner, a name, with owner_version: whose it is from now on (lua/README.md); without, that stays
-- REPLY  {word, rev, now}  created | updated | unchanged | exists | changed (another rev); rev grows with each change; with an
--                          owner also newer (a worker of a newer version of it lives) | other (it is another's, of which a
--                          worker lives); error RS_INVALID 1 <field> <why>
-- FLAGS  none
-- USES   clock, keys, events, schedules, definition, former, calendar_changes, owners

local q, id, mode, spec = keys.open(KEYS[1]), ARGV[2], ARGV[3], ARGV[4]
local now = clock.now(q.prefix, ARGV[1])
local function refuse(field, why) return redis.error_reply('RS_INVALID 1 ' .. field .. ' ' .. why) end

if not keys.is_name(id) then return refuse('id', 'must be 1 to 100 of [A-Za-z0-9._@+-] and begin with a letter or digit') end
local found = schedules.decoded(spec)
local field, why = definition.spec_problem(spec, found)
if field then return refuse(field, why) end
local given, owner, version = definition.words(ARGV, 5, now)
if not given then return refuse(owner, version) end

local s = schedules.read(q.prefix, id)
if s and mode == 'create' then return {'exists', schedules.counter(s, 'rev'), now} end
local refusal = owner and owners.refusal(q.prefix, s, owner, version, now)
if refusal == 'full' then return refuse('owner', 'has 1000 schedules already') end
if refusal then return {refusal, s and schedules.counter(s, 'rev') or 0, now} end
local wanted = string.match(mode, '^=(%d+)$')
if wanted and wanted ~= (s and s.f.rev or '0') then return {'changed', s and schedules.counter(s, 'rev') or 0, now} end
local same = s and definition.is_same(s, spec, q.name, given)
local mended = s and (string.find(s.f.paused or '', '^malformed') or owner and owners.left_out(s)) and true
if same and owner and mode ~= 'dry' and (s.f.owner ~= owner or s.f.owner_version ~= version) then
  owners.note(s, owner, version)
  if not mended then schedules.save(s) end
end
if same and mode ~= 'replan' and not mended then return {'unchanged', schedules.counter(s, 'rev'), now} end
local word, rev = s and 'updated' or 'created', (s and schedules.counter(s, 'rev') or 0) + 1
if mode == 'dry' then return {word, rev, now} end

if not s then
  s = schedules.blank(q.prefix, id)
  redis.call('UNLINK', s.key)
  schedules.set(s, 'created_at', clock.text(now))
end
definition.note(s, given)
if owner then owners.note(s, owner, version) end
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

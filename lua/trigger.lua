-- trigger: run a schedule's task now, or once more for slots of the past. Its own slots stay as they are.
--
-- KEYS   due      zset    {namespace}:due:<queue>, the queue of its tasks
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id       string  the schedule
-- ARGV   overlap  string  a policy for these runs; '' for the schedule's own
-- ARGV   payload  string  JSON in place of the schedule's payload (trigger only); '' for the schedule's
-- ARGV   slot...  int     none: one run now, its id <schedule>@t<ms>; else 1..1000 slots to backfill, none after now,
--                         <schedule>@<slot>.b<n>; their start-by counts from now
-- REPLY  {word, n, id...}  done | missing | moved (its tasks are of another queue); how many were made or kept for later; the ids
--                         of those made; error RS_INVALID 1 slot <why>: nothing was made
-- FLAGS  none
-- USES   clock, keys, check, stats, schedules, runs

local q, id, policy, payload = keys.open(KEYS[1]), ARGV[2], ARGV[3], ARGV[4]
local now = clock.now(q.prefix, ARGV[1])
local s = schedules.read(q.prefix, id)
if not s then return {'missing', 0} end
if schedules.queue_of(s) ~= q.name then return {'moved', 0} end
if #ARGV > 1004 then return redis.error_reply('RS_INVALID 1 slot more than 1000') end
for i = 5, #ARGV do
  local slot = check.whole(ARGV[i], 1e11, 4e12)
  if not slot then return redis.error_reply('RS_INVALID 1 slot must be ms since the epoch') end
  if slot > now then return redis.error_reply('RS_INVALID 1 slot lies after now') end
end
if policy == '' then policy = s.spec.overlap end
if not schedules.OVERLAPS[policy or ''] then policy = 'skip' end

local reply = {'done', 0}
local function run(suffix, due)
  local made, waiting = s.made, #s.buffer
  local task = runs.admit(q, s, suffix, due, now, policy, payload ~= '' and payload or nil)
  if task then reply[#reply + 1] = task end
  if s.made > made or #s.buffer > waiting then reply[2] = reply[2] + 1 end
end

runs.pause_failed(q, s, now)                            -- a failed run pauses the schedule; this run is wanted all the same
if #ARGV < 5 then
  local at = now
  while redis.call('EXISTS', q.task .. id .. '@t' .. clock.text(at)) == 1 do at = at + 1 end
  run('t' .. clock.text(at), now)
  schedules.set(s, 'triggered', clock.text(schedules.counter(s, 'triggered') + reply[2]))
else
  local n = schedules.counter(s, 'backfills') + 1
  schedules.set(s, 'backfills', clock.text(n))
  for i = 5, #ARGV do run(clock.text(tonumber(ARGV[i])) .. '.b' .. clock.text(n), tonumber(ARGV[i])) end
  schedules.set(s, 'backfilled', clock.text(schedules.counter(s, 'backfilled') + reply[2]))
end
schedules.save(s)
if #s.buffer > 0 and not s.f.paused then schedules.look_sooner(s, now + runs.POLL) end
stats.count_created(q, now, s.made)
return reply

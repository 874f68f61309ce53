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
-- USES   clock, keys, check, stats, schedule, overlap, turn

local q, id, policy, payload = open(KEYS[1]), ARGV[2], ARGV[3], ARGV[4]
local now = clock(q.prefix, ARGV[1])
local s = read_schedule(q.prefix, id)
if not s then return {'missing', 0} end
if home_of(s) ~= q.name then return {'moved', 0} end
if #ARGV > 1004 then return redis.error_reply('RS_INVALID 1 slot more than 1000') end
for i = 5, #ARGV do
  local slot = whole(ARGV[i], 1e11, 4e12)
  if not slot then return redis.error_reply('RS_INVALID 1 slot must be ms since the epoch') end
  if slot > now then return redis.error_reply('RS_INVALID 1 slot lies after now') end
end
if policy == '' then policy = s.spec.overlap end
if not OVERLAP[policy or ''] then policy = 'skip' end

local reply = {'done', 0}
local function run(suffix, due)
  local made, waiting = s.made, #s.buffer
  local task = admit(q, s, suffix, due, now, policy, payload ~= '' and payload or nil)
  if task then reply[#reply + 1] = task end
  if s.made > made or #s.buffer > waiting then reply[2] = reply[2] + 1 end
end

pause_failed(q, s, now)                                 -- a run that failed is not forgotten; this one is wanted anyhow
if #ARGV < 5 then
  local at = now
  while redis.call('EXISTS', q.task .. id .. '@t' .. text(at)) == 1 do at = at + 1 end
  run('t' .. text(at), now)
  set_field(s, 'triggered', text(counted(s, 'triggered') + reply[2]))
else
  local n = counted(s, 'backfills') + 1
  set_field(s, 'backfills', text(n))
  for i = 5, #ARGV do run(text(tonumber(ARGV[i])) .. '.b' .. text(n), tonumber(ARGV[i])) end
  set_field(s, 'backfilled', text(counted(s, 'backfilled') + reply[2]))
end
save_schedule(s)
if #s.buffer > 0 and not s.f.paused then look_sooner(s, now + POLL) end
count_created(q, now, s.made)
return reply

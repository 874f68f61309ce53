-- once: keep what a step of a running task returned, or look it up, so that no later run of the task takes the step again.
--
-- KEYS   due    zset    {namespace}:due:<queue>
-- ARGV   id     string  the task
-- ARGV   token  string  of the claim that runs it
-- ARGV   step   string  the name of the step: 1 to 128 of [A-Za-z0-9._@+:-]
-- ARGV   value  string  '' to look; else what the step returned, UTF-8 JSON
-- ARGV   now    int     may be missing; 0: the server's clock; a virtual clock's ms where the deployment allows it
-- REPLY  {word, asked, value}  open (a look: the step has to be taken) | kept (by this call, or by an earlier one: value is
--                       what is kept) | full (a task keeps 100 steps, and 65536 bytes of them with their names: this one
--                       does not fit) | lost (not this worker's any more). asked: 1 if it was asked to stop, else 0. value:
--                       '' if nothing is kept. Only with kept something may have been written
-- FLAGS  allow-oom
-- USES   clock, keys, safe, hash, memory, outcomes

local q, id, token, step, value, now = keys.open(KEYS[1]), ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if not keys.is_id(step) then
  return redis.error_reply('RS_INVALID 1 step must be 1 to 128 of [A-Za-z0-9._@+:-]')
end
local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'token', 'cancel_requested', 'created_at')
if not found or found[1] ~= 'running' or found[2] ~= token then return {'lost', 0, ''} end

-- a later task of the same id was made at another time, so that it never takes the steps of this one for its own
local key, asked, made = q.outcome .. id, found[3] and 1 or 0, found[4] or ''
local field, total = 'step:' .. made .. ':' .. step, 'steps:' .. made
local known = safe.call('HMGET', key, field, total) or {}
if known[1] then return {'kept', asked, known[1]} end
local n, bytes = string.match(known[2] or '', '^(%d+) (%d+)$')
n, bytes = (tonumber(n) or 0) + 1, (tonumber(bytes) or 0) + #step + #value
if n > 100 or bytes > 65536 then return {'full', asked, ''} end
if value == '' then return {'open', asked, ''} end
now = clock.now(q.prefix, now)
memory.drain(q)
outcomes.write(key, field, value, total, string.format('%d %d', n, bytes), 'kept:' .. made .. ':' .. step, clock.text(now))
return {'kept', asked, value}

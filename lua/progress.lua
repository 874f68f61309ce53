-- progress: store what a running task tells of itself, for people to read.
--
-- KEYS   due    zset    {namespace}:due:<queue>
-- ARGV   id     string  the task
-- ARGV   token  string  of the claim that runs it
-- ARGV   value  string  UTF-8 JSON, at most 65536 bytes
-- REPLY  word           stored | cancel (stored, and asked to stop) | lost (not this worker's any more): nothing was written
-- FLAGS  none
-- USES   keys, hash, outcomes

local q, id, token, value = keys.open(KEYS[1]), ARGV[1], ARGV[2], ARGV[3]
if #value > 65536 then return redis.error_reply('RS_INVALID 1 progress is too long') end
local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'token', 'cancel_requested')
if not found or found[1] ~= 'running' or found[2] ~= token then return 'lost' end
outcomes.write(q.outcome .. id, 'progress', value)
return found[3] and 'cancel' or 'stored'

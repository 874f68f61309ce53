-- operate: keep what a change of many tasks has done so far, for a day, and learn whether it is to stop.
--
-- KEYS   operation  hash    {namespace}:operation:<id>
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   what       string  write | abort
-- ARGV   field...   words   2 words each, a field and its value, 0..16 times: what is written
-- REPLY  word               going | abort (somebody asked for that) | over (it had ended) | missing (there is none to abort)
-- FLAGS  none
-- USES   clock

local key, what = KEYS[1], ARGV[2]
local prefix = string.match(key, '^({[^{}]+}:)operation:')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:operation:<id>') end
local now, KEPT = clock.now(prefix, ARGV[1]), '86400000'
if what ~= 'write' and what ~= 'abort' then return redis.error_reply('RS_INVALID 1 what must be write or abort') end

local found = redis.call('HMGET', key, 'state', 'abort')
if what == 'abort' then
  if not found[1] then return 'missing' end
  if found[1] ~= 'running' then return 'over' end
  redis.call('HSET', key, 'abort', '1')
  return 'abort'
end
local words = {'updated_at', clock.text(now)}
for at = 3, math.min(#ARGV, 34) do words[#words + 1] = ARGV[at] end
if not found[1] then words[#words + 1], words[#words + 2] = 'started_at', clock.text(now) end
redis.call('HSET', key, unpack(words))
redis.call('PEXPIRE', key, KEPT)
return found[2] and 'abort' or 'going'

-- reserve: begin a request that carries an idempotency key, or learn what became of the first one with this key.
--
-- KEYS   answer    hash    {namespace}:answer:<digest of the key>
-- ARGV   body      string  digest of the request's body
-- ARGV   lapse_ms  int     1000..3600000, after which a request that never answered no longer blocks a repeat
-- REPLY  {word, ...}       new (go on, then call answer) | in flight | other (the key came with another body) |
--                          done, followed by the stored status, location and body; error RS_INVALID 1 lapse_ms <why>
-- FLAGS  none
-- USES   check

local answer, body, lapse = KEYS[1], ARGV[1], check.whole(ARGV[2], 1000, 3600000)
if not lapse then return redis.error_reply('RS_INVALID 1 lapse_ms must be 1000 to 3600000') end

local found = redis.call('HMGET', answer, 'request', 'status', 'location', 'body')
if not found[1] then
  redis.call('HSET', answer, 'request', body)
  redis.call('PEXPIRE', answer, lapse)
  return {'new'}
end
if found[1] ~= body then return {'other'} end
if not found[2] then return {'in flight'} end
return {'done', found[2], found[3] or '', found[4] or ''}

-- answer: store the answer to a request that was reserved, or give the reservation up.
--
-- KEYS   answer    hash    {namespace}:answer:<digest of the key>
-- ARGV   body      string  digest of the request's body, as it was reserved
-- ARGV   status    string  HTTP status; '' gives the reservation up, so that a repeat starts anew
-- ARGV   location  string  of what was made; '' for none
-- ARGV   text      string  body of the answer
-- ARGV   ttl_ms    int     how long it is kept
-- REPLY  word              stored | given up | lapsed (the reservation is not there any more): nothing was written
-- FLAGS  none
-- USES   nothing

local answer, body, status, location, text, ttl = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

if redis.call('HGET', answer, 'request') ~= body then return 'lapsed' end
if status == '' then
  redis.call('UNLINK', answer)
  return 'given up'
end
redis.call('HSET', answer, 'status', status, 'location', location, 'body', text)
redis.call('PEXPIRE', answer, ttl)
return 'stored'

-- limit: set how many finished and dead tasks a queue keeps, or tell how many it does.
--
-- KEYS   due       zset    {namespace}:due:<queue>
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   field...  words   2 words each: most_finished or most_dead and a number, none, or '' (its default); without any, nothing
--                          is written
-- REPLY  {n, n}            most_finished, most_dead as they are now; -1: no cap; error RS_INVALID 1 <field> <why>
-- FLAGS  none
-- USES   clock, keys, events, stats, caps, sweep

local q = keys.open(KEYS[1])
local now = clock.now(q.prefix, ARGV[1])
for i = 2, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1] or ''
  if not caps.USUAL[field] then return redis.error_reply('RS_INVALID 1 fields hold one that is unknown') end
  if value ~= '' and not caps.parse(value) then
    return redis.error_reply('RS_INVALID 1 ' .. field .. ' must be a whole number, none or empty')
  end
end
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', q.config, ARGV[i])
  else
    redis.call('HSET', q.config, ARGV[i], ARGV[i + 1])
  end
end
if #ARGV > 1 then
  stats.add_queue(q)
  sweep.soon(q, now)
  events.tell(q, 'limited', 'queue', unpack(ARGV, 2))
end
return {caps.for_reply(q, 'most_finished'), caps.for_reply(q, 'most_dead')}

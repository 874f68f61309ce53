-- defaults: set what a queue gives to tasks that do not say it themselves, where their type does not either; or tell it.
--
-- KEYS   due       zset     {namespace}:due:<queue>
-- ARGV   now       int      0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   field...  words    2 words each: max_attempts, retry, timeout_ms, retention_ms or key as enqueue takes them, or
--                           expires_at as +ms from the due time on; an empty value takes it back. Without any, nothing is written
-- REPLY  {field, value...}  what the queue gives now; error RS_INVALID 1 <field> <why>
-- FLAGS  none
-- USES   clock, keys, events, stats, type_defaults

local q = keys.open(KEYS[1])
clock.now(q.prefix, ARGV[1])
local stored = redis.call('HGET', q.prefix .. 'defaults', ':' .. q.name)
local now, wanted, list = stored and type_defaults.parse(stored) or {}, {}, {}
for i = 1, #now, 2 do wanted[now[i]] = now[i + 1] end
if #ARGV % 2 == 0 then return redis.error_reply('RS_INVALID 1 fields are not as many as values') end
for i = 2, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if value ~= '' and not type_defaults.parse(cjson.encode({field, value})) then
    return redis.error_reply('RS_INVALID 1 ' .. (type_defaults.is_given(field) and field or 'fields') .. ' cannot be a default')
  end
  wanted[field] = value ~= '' and value or nil
end
for _, field in ipairs(type_defaults.GIVEN) do
  if wanted[field] then list[#list + 1], list[#list + 2] = field, wanted[field] end
end
if #ARGV < 2 then return list end
if #list > 0 then
  redis.call('HSET', q.prefix .. 'defaults', ':' .. q.name, cjson.encode(list))
else
  redis.call('HDEL', q.prefix .. 'defaults', ':' .. q.name)
end
stats.add_queue(q)
events.tell(q, 'defaults_set', 'queue', unpack(ARGV, 2))
return list

-- rules: a page of the rules, or those named.
--
-- KEYS   rules   hash    {namespace}:rules
-- ARGV   cursor  string  '' or what the last page answered
-- ARGV   limit   int     1..1000
-- ARGV   id...   string  none: a page; else up to 1000 rules
-- REPLY  {cursor, rule...}  cursor '' on the last page; each rule {id, event, JSON as put_rule takes it}; a page may hold more
--                        than limit
-- FLAGS  no-writes
-- USES   read

local rules, cursor, limit = KEYS[1], ARGV[1], math.max(1, math.min(tonumber(ARGV[2]), 1000))
local prefix = string.match(rules, '^({[^{}]+}:)rules$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:rules') end
local reply, found = {''}, {}
if #ARGV > 2 then
  for i = 3, math.min(#ARGV, 1002) do
    found[#found + 1] = ARGV[i]
    found[#found + 1] = soft('HGET', rules, ARGV[i]) or false
  end
else
  local page = soft('HSCAN', rules, string.match(cursor, '^%d+$') or '0', 'COUNT', limit) or {'0', {}}
  found = page[2]
  if page[1] ~= '0' then reply[1] = page[1] end
end
for i = 1, #found, 2 do
  local line = found[i + 1] and soft('HGET', prefix .. 'rules:' .. found[i + 1], found[i])
  if line then reply[#reply + 1] = {found[i], found[i + 1], line} end
end
return reply

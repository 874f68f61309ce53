-- rules: a page of the rules, or those named.
--
-- KEYS   rules   hash    {namespace}:rules
-- ARGV   cursor  string  '' or what the last page answered
-- ARGV   limit   int     1..1000
-- ARGV   id...   string  none: a page; else up to 1000 rules
-- REPLY  {cursor, rule...}  cursor '' on the last page; each rule {id, event, JSON as put_rule takes it}; a page may hold more
--                        than limit, or fewer where they are large
-- FLAGS  no-writes
-- USES   budget, clock, safe

local rules_key, cursor, limit = KEYS[1], ARGV[1], math.max(1, math.min(tonumber(ARGV[2]), 1000))
local prefix = string.match(rules_key, '^({[^{}]+}:)rules$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:rules') end
local A_PAGE, reply, found = 10, {''}, {}
clock.begin()

-- flat: names of rules and their events.
local function tell(flat)
  for i = 1, #flat, 2 do
    local line = flat[i + 1] and safe.call('HGET', prefix .. 'rules:' .. flat[i + 1], flat[i])
    if line then reply[#reply + 1] = {flat[i], flat[i + 1], line} end
    budget.spend(0.5 + #(line or '') / 2048)
  end
end

if #ARGV > 2 then
  for i = 3, math.min(#ARGV, 1002) do
    found[#found + 1] = ARGV[i]
    found[#found + 1] = safe.call('HGET', rules_key, ARGV[i]) or false
  end
  tell(found)
elseif string.find(cursor, '^=') or (safe.call('HLEN', rules_key) or 0) <= 512 then
  -- HSCAN would answer the whole of a small hash
  local names, last = safe.call('HKEYS', rules_key) or {}, string.sub(cursor, 2)
  table.sort(names)
  for _, name in ipairs(names) do
    if name > last then
      if #reply > limit or budget.is_spent() then
        reply[1] = '=' .. last
        break
      end
      tell({name, redis.call('HGET', rules_key, name)})
      last = name
    end
  end
else
  local at = string.match(cursor, '^%d+$') or '0'
  repeat
    local page = safe.call('HSCAN', rules_key, at, 'COUNT', math.min(limit, A_PAGE)) or {'0', {}}
    tell(page[2])
    at = page[1]
  until at == '0' or #reply > limit or budget.is_spent()
  if at ~= '0' then reply[1] = at end
end
return reply

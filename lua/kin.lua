-- kin: a page of the tasks that one comes after, with what they left, or of those that come after it.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   which   string  parents | children
-- ARGV   id      string  the task
-- ARGV   cursor  string  '' or what the last page answered
-- ARGV   limit   int     1..1000; fewer where they left much
-- REPLY  {cursor, task...}  cursor '' on the last page; each task {<queue>/<id>, state, type, result}: result JSON of a
--                        parent that completed, '' where it left none or a long one; state gone where nothing is left of it
-- FLAGS  no-writes
-- USES   budget, clock, keys, safe, hash, notify

local q, which, id, cursor = keys.open(KEYS[1]), ARGV[1], ARGV[2], ARGV[3]
local limit = math.max(1, math.min(tonumber(ARGV[4]), 1000))
if which == 'parents' and (#cursor > 19 or string.find(cursor, '%D')) then
  return redis.error_reply('RS_INVALID 1 cursor must be an answer of this verb')
end
if which ~= 'parents' and which ~= 'children' then
  return redis.error_reply('RS_INVALID 1 which must be parents or children')
end
local A_PAGE, reply = 50, {''}
clock.begin()
if not keys.is_id(id) then return reply end

local function tell(member, told)
  local home, other = notify.task_of(q.prefix, member)
  local found = home and safe.call('HMGET', home.task .. other, 'state', 'type')
  local state, result = string.match(told or '', '^(%a+) (.*)$')
  local live = found and found[2] and hash.state_of(found[1])
  budget.spend(0.25 + #(result or '') / 1024)
  reply[#reply + 1] = {member, live or state or 'gone', found and found[2] or '', result or ''}
end

if which == 'children' then
  local page = notify.page_after(q.children .. id, cursor, limit)
  for _, member in ipairs(page) do tell(member) end
  if #page == limit then reply[1] = page[limit] end
else
  local at = cursor == '' and '0' or cursor
  repeat
    local page = safe.call('HSCAN', q.parents .. id, at, 'COUNT', math.min(limit, A_PAGE)) or {'0', {}}
    for i = 1, #page[2], 2 do
      if string.byte(page[2][i]) ~= 58 then tell(page[2][i], page[2][i + 1]) end
    end
    at = page[1]
  until at == '0' or #reply > limit or budget.is_spent()
  if at ~= '0' then reply[1] = at end
end
return reply

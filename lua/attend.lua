-- attend: work off a part of what the mover has to look at: ends of holds, events with many listeners, tasks that others come
-- after, pauses that are over.
--
-- KEYS   agenda  zset  {namespace}:agenda
-- ARGV   now     int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit   int   1..500: a task looked at alone counts as two, one of a crowd as one; a call ends sooner
--                      where they take long
-- ARGV   skip    int   may be missing: how many items at the head of the agenda are left out, as an earlier call could not
--                      do them
-- REPLY  {now, done, next, left}  ms; how much of the limit was used; when there is more to do, ms (0: at once; -1: nothing is
--                      left); items that this caller may not carry out, which stay for one who may: 128 where more may follow
-- FLAGS  allow-oom
-- USES   budget, clock, safe, errors, memory, agenda

local agenda_key, limit, skip = KEYS[1], math.max(1, math.min(tonumber(ARGV[2]), 500)), tonumber(ARGV[3] or '') or 0
local prefix = string.match(agenda_key, '^({[^{}]+}:)agenda$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:agenda') end
local now, done, left = clock.now(prefix, ARGV[1]), 0, 0
local A_PAGE, MOST_LEFT, LEFT = 32, 128, -1
memory.drain({due = agenda_key})

-- An item that fails because a key has a wrong type, or in another way of its own, waits a minute. An item that concerns no
-- queue is removed. An item that this caller has no right to stays. None of them holds up the rest.
local function looked_at(look, ...)
  local ok, used, again = pcall(look, ...)
  if ok then return used, again end
  if errors.is_of_server(used) then error(used, 0) end
  if errors.is_denied(used) then return 0, LEFT end
  if string.find(errors.text_of(used), 'RS_KEYS', 1, true) then return 1 end
  return 1, now + 60000
end

local function attend_item(item)
  local kind, what = string.match(item, '^(%a+)/(.+)$')
  local used, again = 0, nil
  if agenda[kind or ''] then
    used, again = looked_at(agenda[kind], prefix, what, limit - done, now)
  elseif kind then
    again = now + 60000                                 -- a newer redsched may know what it is
  end
  if again == LEFT then
    left = left + 1
    return
  end
  done = done + math.max(used, 1)
  budget.spend(1)
  if again then
    redis.call('ZADD', agenda_key, clock.text(again), item)   -- behind those that came meanwhile
  else
    redis.call('ZREM', agenda_key, item)
  end
end

repeat
  local before = left
  local items = redis.call('ZRANGE', agenda_key, '-inf', now, 'BYSCORE', 'LIMIT', skip + left, A_PAGE)
  for _, item in ipairs(items) do
    if done < limit and not budget.is_spent() then attend_item(item) end
  end
until #items == 0 or left - before < #items or left >= MOST_LEFT or budget.is_spent()
if skip + left == 0 then return {now, done, safe.earliest(agenda_key), 0} end
local first = redis.call('ZRANGE', agenda_key, skip + left, skip + left, 'WITHSCORES')
return {now, done, first[2] and math.floor(math.max(0, math.min(tonumber(first[2]), 9e15))) or -1, left}

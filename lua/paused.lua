-- paused: what is paused in queues: all of it, or a page.
--
-- KEYS   due...  zset    {namespace}:due:<queue>, 1..100 queues
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   cursor  string  '' or what the last page answered; it may be left out
-- ARGV   limit   int     1..1000, about how many of a page; left out: all of them, however many
-- REPLY  {stop...}       each {number of the queue, what (all: every queue), until (ms; 0: until it is resumed), since (ms),
--                        reason, tasks set aside}; with a limit, {0, cursor} comes last: '' on the last page. A page may repeat
--                        some of another
-- FLAGS  no-writes
-- USES   clock, keys, safe, pauses

local queues = keys.open_all(KEYS)
local now, reply = clock.now(queues[1].prefix, ARGV[1]), {}
local limit = tonumber(ARGV[3] or '')
local most = limit and math.max(1, math.min(limit, 1000)) or 1e9
local from, at = string.match(ARGV[2] or '', '^(%d+)/(%d+)$')

local all = {'all', pauses.of_all(queues[1]) or ''}

local function tell(number, q, flat)
  for i = 1, #flat, 2 do
    local till, since, reason = string.match(flat[i + 1], '^(%d+) (%d+) (.*)$')
    if pauses.is_active(flat[i + 1], now) then
      reply[#reply + 1] = {number, flat[i], tonumber(till or 0), tonumber(since or 0), reason or flat[i + 1],
        safe.call('ZCARD', q.stopped .. flat[i]) or 0}
    end
  end
end

local following, looked = '', 0
for number = tonumber(from or 1), #queues do
  if not at then tell(number, queues[number], all) end
  repeat
    local page = safe.call('HSCAN', queues[number].paused, at or '0', 'COUNT', math.min(most, 1000)) or {'0', {}}
    tell(number, queues[number], page[2])
    at, looked = page[1] ~= '0' and page[1] or nil, looked + 1 + #page[2] / 2
  until not at or looked >= most
  if looked >= most and (at or number < #queues) then
    following = (at and number or number + 1) .. '/' .. (at or '0')
    break
  end
end
if limit then reply[#reply + 1] = {0, following} end
return reply

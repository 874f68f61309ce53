-- paused: what is paused in queues.
--
-- KEYS   due...  zset  {namespace}:due:<queue>, 1..100 queues
-- ARGV   now     int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- REPLY  {stop...}     each {number of the queue, what, until (ms; 0: until it is resumed), since (ms), reason, tasks set aside}
-- FLAGS  no-writes
-- USES   clock, keys, read, stops

local queues = open_all(KEYS)
local now, reply = clock(queues[1].prefix, ARGV[1]), {}
for number, q in ipairs(queues) do
  for what, line in pairs(stops_of(q) or {}) do
    local till, since, reason = string.match(line, '^(%d+) (%d+) (.*)$')
    if is_stopped(line, now) then
      reply[#reply + 1] = {number, what, tonumber(till or 0), tonumber(since or 0), reason or line, soft('ZCARD', q.stopped .. what) or 0}
    end
  end
end
return reply

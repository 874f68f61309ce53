-- leave: forget a consumer that stops, where nothing is pending for it; what is pending is taken over after a second.
--
-- KEYS   due...    zset    {namespace}:due:<queue>, 1..16 queues
-- ARGV   consumer  string  who leaves
-- REPLY  left              number of streams that have forgotten it
-- FLAGS  allow-oom
-- USES   keys, memory, streams

local queues, consumer, left = keys.open_all(KEYS), ARGV[1], 0
memory.drain(queues[1])
for _, q in ipairs(queues) do
  for _, priority in ipairs(streams.PRIORITIES) do
    local stream = streams.of(q, priority)
    local pending = redis.pcall('XPENDING', stream, 'workers', '-', '+', 1, consumer)
    if not pending.err and #pending == 0 then
      redis.call('XGROUP', 'DELCONSUMER', stream, 'workers', consumer)
      left = left + 1
    end
  end
end
redis.call('UNLINK', queues[1].prefix .. 'claimed:' .. consumer)
return left

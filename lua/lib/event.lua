-- event: one entry of the capped events stream per decision worth telling. May be lost; never authoritative: whatever is
-- wrong with the stream, what is told of stands.

local function event(q, name, id, ...)
  redis.pcall('XADD', q.prefix .. 'events', 'MAXLEN', '~', 10000, '*', 'event', name, 'queue', q.name, 'id', id, ...)
end

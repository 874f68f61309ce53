-- event: one entry of the capped events stream per decision worth telling. May be lost; never authoritative.

local function event(q, name, id, ...)
  redis.call('XADD', q.prefix .. 'events', 'MAXLEN', '~', 10000, '*', 'event', name, 'queue', q.name, 'id', id, ...)
end

-- event: one entry of the capped events stream per decision worth telling. May be lost; never authoritative: whatever is
-- wrong with the stream, what is told of stands. What was set aside may have any bytes as its id: those that no id has are told
-- as \xNN, for people read this stream.

local function event(q, name, id, ...)
  if string.find(id, '[^ -~]') then
    id = string.gsub(id, '[^ -~]', function(c) return string.format('\\x%02x', string.byte(c)) end)
  end
  redis.pcall('XADD', q.prefix .. 'events', 'MAXLEN', '~', 10000, '*', 'event', name, 'queue', q.name, 'id', id, ...)
end

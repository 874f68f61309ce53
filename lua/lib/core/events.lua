-- events: one entry of the capped events stream per decision worth telling. Entries may be lost, and nothing is decided
-- by them: a task's change stands even if the stream cannot be written. People read this stream, so bytes of an id that
-- are not printable ASCII are written as \xNN.
--
-- USES  nothing

function events.tell(q, name, id, ...)
  if string.find(id, '[^ -~]') then
    id = string.gsub(id, '[^ -~]', function(c) return string.format('\\x%02x', string.byte(c)) end)
  end
  redis.pcall('XADD', q.prefix .. 'events', 'MAXLEN', '~', 10000, '*', 'event', name, 'queue', q.name, 'id', id, ...)
end

local MOST_REMEMBERED = 1000                            -- names of events

-- Keep the name of an event that was emitted, so that the facts of a subject can be looked for.
function events.remember(prefix, name)
  if redis.pcall('SADD', prefix .. 'emitted', name) ~= 1 then return end
  if redis.call('SCARD', prefix .. 'emitted') > MOST_REMEMBERED then redis.pcall('SREM', prefix .. 'emitted', name) end
end

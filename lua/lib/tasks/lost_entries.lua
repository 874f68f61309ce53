-- lost_entries: entries of ready streams whose reader is gone.
--
-- USES  budget, clock, keys, hash, streams

local LOOK_EVERY = 500                                  -- ms: asking three streams is a third of what an idle call costs

-- Entries that were delivered but not claimed within a second: their reader is gone, or lost the reply. A library looks for them
-- twice a second; under a virtual clock, whose moments may all be one, each time.
function lost_entries.add_again(q, now)
  local since = clock.call.at and q.recovered_at and now - q.recovered_at
  if since and since >= 0 and since < LOOK_EVERY then return end
  for _, priority in ipairs(streams.there(q)) do
    local stream = streams.of(q, priority)
    local pending = redis.pcall('XPENDING', stream, 'workers', 'IDLE', '1000', '-', '+', '32')
    for i, held in ipairs(pending.err and {} or pending) do
      if i > 1 and budget.is_spent() then return end
      budget.spend(1)
      local entry = redis.call('XRANGE', stream, held[1], held[1])[1]
      local id = entry and entry[2][2] or ''
      local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'entry', 'conditions')
      if found and found[1] == 'ready' and found[2] == priority .. '/' .. held[1] then
        redis.call('HSET', q.task .. id, 'entry', streams.add(q, id, priority, found[3]))
      end
      redis.call('XDEL', stream, held[1])
      redis.call('XACK', stream, 'workers', held[1])
    end
  end
  q.recovered_at = now                                  -- not where it stopped before its end
end

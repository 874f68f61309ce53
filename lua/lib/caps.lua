-- caps: how many finished and dead tasks a queue keeps beside their retention, as its config says; what goes by them is counted.

local CAPS = {none = 1e15}                              -- no set is as large
CAPS.usual = {most_finished = 100000, most_dead = CAPS.none}

-- The cap that a text of the config means; nil where it is none.
function CAPS.meant(value) return value == 'none' and CAPS.none or whole(value, 0, 1e12) end

function CAPS.of(q, field)
  local found = soft('HGET', q.config, field)
  return found and CAPS.meant(found) or CAPS.usual[field]
end

function CAPS.is_over(q)
  return redis.call('ZCARD', q.finished) > CAPS.of(q, 'most_finished') or redis.call('ZCARD', q.dead) > CAPS.of(q, 'most_dead')
end

-- Whether a finished task may not go yet: clients repeat their calls, and its id must be known then.
function CAPS.is_young(set, ended, now) return set == 'finished' and now - ended < 600000 end

-- One event a minute, a queue and a set: how many went first, for how long the last of them was known, and how many went so far.
function CAPS.tell(q, now, set, n, kept)
  if n == 0 or not count(q, now, set .. '_evicted', n) then return end
  event(q, 'evicted', set, 'n', n, 'total', soft('HGET', q.stats, set .. '_evicted') or n, 'kept_ms', kept)
end

-- As replies have it: -1 where there is no cap.
function CAPS.told(q, field)
  local most = CAPS.of(q, field)
  return most < CAPS.none and most or -1
end

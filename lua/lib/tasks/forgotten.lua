-- forgotten: which ids a sweep removed within a day, so that a task that is finished and forgotten can be told from one that
-- never was. Ids that redsched made are left out: nobody asks for one that there never was. These notes only tell.
--
-- USES  clock, safe

local DAY, AT_ONCE = 86400000, 500

-- Take out what is over a day old or too much, a part at a time.
function forgotten.trim(q, now, most)
  local key = q.prefix .. 'forgotten'
  local n = safe.call('ZCARD', key) or 0
  if n == 0 then return end
  local over, oldest, gone = n - most, safe.call('ZRANGE', key, 0, 0, 'WITHSCORES') or {}, 0
  if over <= 0 and (tonumber(oldest[2]) or 0) > now - DAY then return end   -- most calls find nothing to take out
  oldest = safe.call('ZRANGE', key, 0, AT_ONCE - 1, 'WITHSCORES') or {}
  while oldest[2 * gone + 2] and (gone < over or tonumber(oldest[2 * gone + 2]) <= now - DAY) do gone = gone + 1 end
  if gone > 0 then redis.pcall('ZREMRANGEBYRANK', key, 0, gone - 1) end
end

-- Whether redsched made an id: for a task without one, where 32 digits of a UUIDv7 follow the dash, or for a run of a schedule.
function forgotten.is_made(id)
  local dash, byte = #id - 32, string.byte
  if dash > 1 and byte(id, dash) == 45 and byte(id, dash + 13) == 55 then return true end
  return string.find(id, '@', 1, true) and string.find(id, '@t?%d+[.b%d]*$') ~= nil
end

-- Note ids that are removed now, none of which redsched made. most: how many are kept; 0: none.
function forgotten.add(q, ids, now, most)
  if most <= 0 or #ids == 0 then return end
  local words, at = {}, clock.text(now)
  for i, id in ipairs(ids) do
    words[2 * i - 1], words[2 * i] = at, q.name .. '/' .. id
  end
  redis.pcall('ZADD', q.prefix .. 'forgotten', unpack(words))
end

-- late: a payload that is completed at the last moment: from facts, or from other tasks that a digest merges.

local MOST_LATE, MOST_MERGED = 262144, 200000           -- bytes

local function plain_json(value)
  if type(value) == 'number' then return string.format('%.17g', value) end
  return cjson.encode(value)
end

-- The payload with what facts say now; nil where it is no object, or too long.
local function from_facts(prefix, late, payload)
  local values = {}
  for name, from in pairs(late) do
    local text = fact_of(prefix, from.fact, from.field)
    if text then
      values[name] = as_json(text)
    elseif from.default ~= nil then
      values[name] = plain_json(from.default)
    end
  end
  local made = with_members(payload, values)
  return made and #made <= MOST_LATE and made or nil
end

-- What becomes of one task of a digest: closed (its payload holds all of them now), merged (into another), or open: it is
-- the one that others are merged into, and waits for them.
local function merge(q, id, digest, f, now)
  local lock, grace = q.digest .. digest.key, digest.grace or 60000
  local open = soft('GET', lock)
  if open == id then
    local items = redis.call('LRANGE', q.items .. id, 0, 999)
    table.insert(items, 1, f.payload)
    redis.call('HSET', q.task .. id, 'frozen', 1, 'payload', '{"items":[' .. table.concat(items, ',') .. ']}')
    redis.call('UNLINK', lock, q.items .. id)
    return 'closed'
  end
  local into = open and is_id(open) and read_planned(q, open)
  if into and (into.state == 'scheduled' or into.state == 'held') and not into.frozen then
    local n = redis.call('RPUSH', q.items .. open, f.payload) + 1
    local bytes = redis.call('HINCRBY', q.task .. open, 'digest_bytes', #f.payload)
    local longest = (whole(into.digest_since or '', 1e11, 4e12) or now) + (digest.longest or 10 * grace)
    local due = math.min(now + grace, longest)
    if n >= (digest.size or 1000) or bytes > MOST_MERGED then due = now end
    redis.call('ZADD', q.due, 'XX', text(due), open)
    return 'merged', open
  end
  redis.call('SET', lock, id)
  redis.call('HSET', q.task .. id, 'digest_since', text(now))
  redis.call('ZADD', q.due, text(now + grace), id)
  return 'open'
end

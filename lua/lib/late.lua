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

-- {"items": [...]}: the payload of a digest and those merged into it, in the order in which they came.
local function merged_payload(q, id, first)
  local flat, numbered, items = redis.call('HGETALL', q.items .. id), {}, {first}
  for i = 2, #flat, 2 do
    local n, payload = string.match(flat[i], '^(%d+) (.*)$')
    if n then numbered[#numbered + 1] = {tonumber(n), payload} end
  end
  table.sort(numbered, function(one, other) return one[1] < other[1] end)
  for _, item in ipairs(numbered) do items[#items + 1] = item[2] end
  return '{"items":[' .. table.concat(items, ',') .. ']}'
end

-- What was merged into it stays known: one that stopped half-way finds itself there and is not sent a second time.
local function close_digest(q, id, digest, payload)
  redis.call('HSET', q.task .. id, 'frozen', 1, 'payload', merged_payload(q, id, payload))
  if soft('GET', q.digest .. digest.key) == id then redis.call('UNLINK', q.digest .. digest.key) end
end

local function join(q, id, open, digest, f, into, now)
  redis.call('HSET', q.task .. id, 'into', open)        -- before: who stops half-way finds itself among the items
  local grace, bytes = digest.grace or 60000, whole(into.digest_bytes or '', 0, 1e12) or 0
  local n = redis.call('HLEN', q.items .. open) + 1
  if redis.call('HSETNX', q.items .. open, id, n .. ' ' .. f.payload) == 1 then
    bytes = bytes + #f.payload
    redis.call('HSET', q.task .. open, 'digest_bytes', bytes)
  end
  local longest = (whole(into.digest_since or '', 1e11, 4e12) or now) + (digest.longest or 10 * grace)
  local due = math.min(now + grace, longest)
  if n + 1 >= (digest.size or 1000) or bytes > MOST_MERGED then due = now end
  redis.call('ZADD', q.due, 'XX', text(due), open)
end

-- What becomes of one task of a digest: closed (its payload holds all of them now), merged (into another), or open: it is
-- the one that others are merged into, and waits for them.
local function merge(q, id, digest, f, now)
  local lock = q.digest .. digest.key
  local open = soft('GET', lock)
  if open == id or f.digest_since then                  -- one that others were merged into, however it got here
    close_digest(q, id, digest, f.payload)
    return 'closed'
  end
  if f.into and redis.call('HEXISTS', q.items .. f.into, id) == 1 then return 'merged', f.into end
  local into = open and is_id(open) and read_planned(q, open)
  if into and (into.state == 'scheduled' or into.state == 'held') and not into.frozen then
    join(q, id, open, digest, f, into, now)
    return 'merged', open
  end
  redis.call('SET', lock, id)
  redis.call('HSET', q.task .. id, 'digest_since', text(now))
  redis.call('ZADD', q.due, text(now + (digest.grace or 60000)), id)
  return 'open'
end

-- fields: which fields a producer may write, and whether a value can be stored in one.
--
-- USES  clock, keys, check, retry, schema, conditions

fields.LONGEST = {
  type = 100, payload = 16777216, content_type = 128, priority = 6, retry = 1600, key = 128, tags = 4096,
  headers = 65536, traceparent = 128, request = 128, keep = 1, expires_at = 20, max_attempts = 4, timeout_ms = 8,
  retention_ms = 11, conditions = schema.LONGEST,
}

-- What is kept of a payload as it was submitted: conditions may rewrite the payload, and completion drops it. fakeredis has
-- no sha1hex; there nothing is kept.
function fields.fingerprint(payload)
  local hash_of = redis.sha1hex
  return hash_of and string.sub(hash_of(payload), 1, 10) or ''
end

function fields.due_time(value, now)
  if value == '0' then return 0 end
  local due = check.whole(value or '', 0, 4e12)
  if due then return check.is_time(due) and due or nil end
  local later = string.match(value or '', '^%+(%d+)$')
  return later and #later <= 12 and now + tonumber(later) or nil
end

-- Whether a text is a JSON array, or an object, of texts. opening: how it begins.
local function holds_texts(value, opening)
  if not string.find(value, '^%s*%' .. opening) then return false end
  local ok, found = pcall(cjson.decode, value)
  if not ok or type(found) ~= 'table' then return false end
  for _, one in pairs(found) do
    if type(one) ~= 'string' then return false end
  end
  return true
end

-- The value as it is stored, or nil and why it cannot be used.
function fields.usable(field, value, now)
  local longest = fields.LONGEST[field]
  if not longest then return nil, 'hold one that is unknown' end
  if field == 'keep' and value ~= '1' and value ~= '0' then return nil, 'must be 1, or 0' end
  if #value > longest then return nil, 'is too long' end
  if field == 'payload' then return value end           -- first: each task has one
  if field == 'type' then
    if not keys.is_name(value) then return nil, 'must be 1 to 100 of [A-Za-z0-9._@+-]' end
  elseif field == 'expires_at' then
    local expires = fields.due_time(value, now)
    if not expires or expires == 0 then return nil, 'must be ms since the epoch or +ms' end
    return clock.text(expires)
  elseif field == 'max_attempts' or field == 'timeout_ms' or field == 'retention_ms' then
    if not check.field_number(field, value) then return nil, 'is no number in its range' end
  elseif field == 'priority' then
    if not check.PRIORITIES[value] then return nil, 'must be high, normal or low' end
  elseif field == 'conditions' then
    local plan, why = conditions.of(value)
    if not plan then return nil, why end
  elseif field == 'retry' then
    if not retry.delay(value, 1, value) then return nil, 'is no policy' end
  elseif field == 'tags' then
    if not holds_texts(value, '[') then return nil, 'must be a JSON array of texts' end
  elseif field == 'headers' then
    if not holds_texts(value, '{') then return nil, 'must be a JSON object of texts' end
  end
  return value
end

-- Whether the fields of a raw producer's task can be used that neither promote nor claim reads.
local WRITTEN = {'retry', 'retention_ms', 'keep', 'tags', 'headers'}
function fields.are_usable(q, id)
  for i, value in ipairs(redis.call('HMGET', q.task .. id, unpack(WRITTEN))) do
    if value and not fields.usable(WRITTEN[i], value, 0) then return false end
  end
  return true
end

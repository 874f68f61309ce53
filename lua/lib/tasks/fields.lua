-- fields: which fields a producer may write, and whether a value can be stored in one.
--
-- USES  clock, keys, check, retry, conditions

-- what a producer may write: made by `make fields` from redsched/model/fields.py
fields.LONGEST = {                                      -- bytes
  type = 100, payload = 16777216, content_type = 128, priority = 6, max_attempts = 4, retry = 1600, timeout_ms = 8,
  expires_at = 20, key = 128, tags = 4096, headers = 65536, traceparent = 128, retention_ms = 11, keep = 1,
  request = 128, conditions = 65536,
}
local CHECK = {                                         -- what else is checked of a value
  type = 'name', priority = 'priority', max_attempts = 'number', retry = 'retry', timeout_ms = 'number',
  expires_at = 'start_by', tags = 'array', headers = 'object', retention_ms = 'number', keep = 'flag',
  conditions = 'conditions',
}
local WRITTEN = {'retry', 'tags', 'headers', 'retention_ms', 'keep'}   -- of these, what neither promote nor claim reads
-- end of what a producer may write

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
  local check_of = CHECK[field]
  if check_of == 'flag' and value ~= '1' and value ~= '0' then return nil, 'must be 1, or 0' end
  if #value > longest then return nil, 'is too long' end
  if not check_of then return value end
  if check_of == 'name' then
    if not keys.is_name(value) then return nil, 'must be 1 to 100 of [A-Za-z0-9._@+-]' end
  elseif check_of == 'start_by' then
    local expires = fields.due_time(value, now)
    if not expires or expires == 0 then return nil, 'must be ms since the epoch or +ms' end
    return clock.text(expires)
  elseif check_of == 'number' then
    if not check.field_number(field, value) then return nil, 'is no number in its range' end
  elseif check_of == 'priority' then
    if not check.PRIORITIES[value] then return nil, 'must be high, normal or low' end
  elseif check_of == 'conditions' then
    local plan, why = conditions.of(value)
    if not plan then return nil, why end
  elseif check_of == 'retry' then
    if not retry.delay(value, 1, value) then return nil, 'is no policy' end
  elseif check_of == 'array' then
    if not holds_texts(value, '[') then return nil, 'must be a JSON array of texts' end
  elseif check_of == 'object' then
    if not holds_texts(value, '{') then return nil, 'must be a JSON object of texts' end
  end
  return value
end

-- What a raw producer's task has of the fields that neither promote nor claim reads, and of those by which it is found.
function fields.of_raw(q, id)
  local values, found = redis.call('HMGET', q.task .. id, 'key', unpack(WRITTEN)), {}
  found.key = values[1]
  for i, field in ipairs(WRITTEN) do found[field] = values[i + 1] end
  return found
end

-- Whether those fields can be used.
function fields.are_usable(found)
  for _, field in ipairs(WRITTEN) do
    if found[field] and not fields.usable(field, found[field], 0) then return false end
  end
  return true
end

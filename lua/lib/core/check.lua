-- check: whether a value can be used: a number in its range, a priority, a due time. Anybody may have written any hash.
--
-- USES  nothing

check.PRIORITIES = {high = true, normal = true, low = true}
-- ranges: made by `make fields` from redsched/model/fields.py
local RANGES = {
  attempt = {0, 1000000}, max_attempts = {1, 1000}, timeout_ms = {1, 86400000},
  expires_at = {100000000000, 4000000000000}, retention_ms = {0, 31536000000},
}
-- end of ranges

function check.whole(value, low, high)
  if not string.find(value, '^%d+$') or #value > 15 then return nil end
  local number = tonumber(value)
  if number < low or number > high then return nil end
  return number
end

function check.field_number(field, value)
  local limit = RANGES[field]
  return check.whole(value, limit[1], limit[2])
end

-- The number that a field of a hash holds: its default if the field is missing, nil if the value is no such number.
function check.number_or(field, value, default)
  if not value then return default end
  return check.field_number(field, value)
end

-- A number of a JSON text; nil if the value is no number or not in its range. nan is in no range.
function check.in_range(value, low, high)
  return type(value) == 'number' and value >= low and value <= high and value or nil
end

-- Whether a task that is due then would expire in place of running. start_by: as its hash has it, or nil. If that is no time,
-- promote says so.
function check.expires_by(start_by, due)
  return (start_by and check.field_number('expires_at', start_by) or 9e15) <= due
end

-- A due time that a client can have meant: 0 (now), or ms between the years 1973 and 2096.
function check.is_time(score)
  return score == 0 or (score >= 1e11 and score <= 4e12)
end

function check.words(line)
  local found = {}
  for word in string.gmatch(line, '%S+') do found[#found + 1] = word end
  return found
end

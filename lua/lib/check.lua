-- check: whether a field of a task can be used. Every hash may have been written by anybody.

local PRIORITY = {high = true, normal = true, low = true}
local LIMIT = {
  max_attempts = {1, 1000}, timeout_ms = {1, 86400000}, retention_ms = {0, 31536000000},
  expires_at = {1e11, 4e12}, attempt = {0, 1e6},
}

local function whole(value, low, high)
  if not string.find(value, '^%d+$') or #value > 15 then return nil end
  local number = tonumber(value)
  if number < low or number > high then return nil end
  return number
end

local function numeric(field, value)
  local limit = LIMIT[field]
  return whole(value, limit[1], limit[2])
end

-- A number of the hash: its default when the field is missing, nil when it is no such number.
local function number_or(field, value, default)
  if not value then return default end
  return numeric(field, value)
end

-- A number of a JSON text; nil where it is none, or beyond its range. No order holds for nan.
local function sane(value, low, high)
  return type(value) == 'number' and value >= low and value <= high and value or nil
end

-- A due time that a client can have meant: 0 (now), or ms between the years 1973 and 2096.
local function is_time(score)
  return score == 0 or (score >= 1e11 and score <= 4e12)
end

-- late: a payload that is completed at the last moment, from facts.

local MOST_LATE = 262144                                -- bytes of a payload

local function as_default(value)
  if type(value) == 'number' then return number_text(value) end
  return type(value) == 'table' and value.int or cjson.encode(value)
end

-- The payload with what facts say now; nil where it is no object, or too long.
local function from_facts(prefix, late, payload)
  local values = {}
  for name, from in pairs(late) do
    local text, is_plain_text = fact_of(prefix, from.fact, from.field)
    if text then
      values[name] = is_plain_text and json_string(text) or as_json(text)
    elseif from.default ~= nil then
      values[name] = as_default(from.default)
    end
  end
  local made = with_members(payload, values)
  return made and #made <= MOST_LATE and made or nil
end

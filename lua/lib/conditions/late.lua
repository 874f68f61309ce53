-- late: a payload that is completed from facts at the last moment.
--
-- USES  json, facts

late.LONGEST = 262144                                   -- bytes of a payload

local function as_default(value)
  if type(value) == 'number' then return json.number(value) end
  return type(value) == 'table' and value.int or cjson.encode(value)
end

-- The payload with what facts say now; nil if it is no object, or too long.
function late.payload(prefix, asked, payload)
  local values = {}
  for name, from in pairs(asked) do
    local text, is_plain_text = facts.value(prefix, from.fact, from.field)
    if text then
      values[name] = is_plain_text and json.string(text) or json.from_text(text)
    elseif from.default ~= nil then
      values[name] = as_default(from.default)
    end
  end
  local made = json.with_members(payload, values)
  return made and #made <= late.LONGEST and made or nil
end

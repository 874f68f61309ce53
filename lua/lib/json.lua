-- json: the members of a JSON object as their own texts, so that a number or an empty list comes back as it was written.

-- What stands after the string that begins at a place.
local function after_string(text, at)
  at = at + 1
  while true do
    local stop = string.find(text, '["\\]', at)
    if string.byte(text, stop) == 34 then return stop + 1 end
    at = stop + 2
  end
end

local function after_value(text, at)
  local first, depth = string.byte(text, at), 0
  if first == 34 then return after_string(text, at) end
  if first ~= 123 and first ~= 91 then return string.find(text, '[,%]}%s]', at) or #text + 1 end
  repeat
    at = string.find(text, '["%[%]{}]', at)
    local sign = string.byte(text, at)
    if sign == 34 then
      at = after_string(text, at)
    else
      depth, at = depth + ((sign == 123 or sign == 91) and 1 or -1), at + 1
    end
  until depth == 0
  return at
end

-- The one value that a JSON text holds; nil where it is no JSON, or null.
local function scalar(text)
  local ok, value = pcall(cjson.decode, '[' .. text .. ']')
  if ok and type(value) == 'table' and #value == 1 and type(value[1]) ~= 'userdata' then return value[1] end
end

-- {name, JSON text} of each member, in order; nil where the text is no object.
local function members(text)
  local ok, at = pcall(cjson.decode, text), string.match(text, '^%s*{()')
  if not ok or not at then return nil end
  local found = {}
  while true do
    local open = string.match(text, '^[%s,]*()"', at)
    if not open then return found end
    local past = after_string(text, open)
    local from = string.match(text, '^%s*:%s*()', past)
    at = after_value(text, from)
    found[#found + 1] = {scalar(string.sub(text, open, past - 1)), string.sub(text, from, at - 1)}
  end
end

-- A text as it stands in JSON: what is no JSON already becomes a string.
local function as_json(text)
  if scalar(text) ~= nil or text == 'null' then return text end
  return cjson.encode(text)
end

-- The object with these members (name -> JSON text) in place of those of the same name; nil where it is none.
local function with_members(text, values)
  local parts, names, old = {}, {}, members(text)
  if not old then return nil end
  for _, member in ipairs(old) do
    if values[member[1]] == nil then parts[#parts + 1] = cjson.encode(member[1]) .. ':' .. member[2] end
  end
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = cjson.encode(name) .. ':' .. values[name] end
  return '{' .. table.concat(parts, ',') .. '}'
end

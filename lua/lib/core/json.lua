-- json: the members of a JSON object as their own texts, so that a number or an empty list comes back as it was written.
-- A text counts as JSON only if it keeps the grammar of JSON; cjson accepts more than that.
--
-- USES  nothing

-- Well-formed sequences of more than one byte (RFC 3629).
local UTF8 = {'[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]', '[\225-\236][\128-\191][\128-\191]',
  '\237[\128-\159][\128-\191]', '[\238-\239][\128-\191][\128-\191]', '\240[\144-\191][\128-\191][\128-\191]',
  '[\241-\243][\128-\191][\128-\191][\128-\191]', '\244[\128-\143][\128-\191][\128-\191]'}

local function is_utf8(text)
  if not string.find(text, '[\128-\255]') then return true end
  for i = 1, #UTF8 do text = string.gsub(text, UTF8[i], '.') end
  return not string.find(text, '[\128-\255]')
end

-- The text with U+FFFD in place of each byte that is not UTF-8.
local function as_utf8(text)
  return (string.gsub(text, '[\128-\255]+', function(run)
    local at, parts = 1, {}
    while at <= #run do
      local past = nil
      for i = 1, #UTF8 do past = past or string.match(run, '^' .. UTF8[i] .. '()', at) end
      parts[#parts + 1] = past and string.sub(run, at, past - 1) or '\239\191\189'
      at = past or at + 1
    end
    return table.concat(parts)
  end))
end

-- Patterns that no number may match, in a text without strings and words, with a space at both ends.
local NO_NUMBERS = {'[^%d.eE+%-,:%[%]{} \t\r\n]', '%-%D', '[^eE]%+', '%+%D', '%.%D', '%D%.', '%D[eE]', '[eE][^%d+%-]',
  '[^%d.eE+%-]%-?0%d'}

-- Whether the numbers of a JSON text are JSON numbers and in the range of a double. cjson accepts more than that.
local function are_numbers(text)
  if not string.find(text, '[^%d,:%[%]{} \t\r\n]') and not string.find(text, '0%d') and #text < 300 then return true end
  text = ' ' .. string.gsub(string.gsub(string.gsub(text, 'true', ' '), 'false', ' '), 'null', ' ') .. ' '
  for i = 1, #NO_NUMBERS do
    if string.find(text, NO_NUMBERS[i]) then return false end
  end
  if not string.find(text, '[eE]%+?%d%d') and not string.find(text, string.rep('%d', 300)) then return true end
  for number in string.gmatch(text, '[%d.eE+%-]+') do
    if math.abs(tonumber(number)) == math.huge then return false end
  end
  return true
end

-- Whether a text is one JSON value, in UTF-8.
function json.is_valid(text)
  local ok, value = pcall(cjson.decode, '[' .. text .. ']')
  if not ok or type(value) ~= 'table' or #value ~= 1 or not is_utf8(text) then return false end
  if string.find(text, '\\', 1, true) then text = string.gsub(text, '\\.', '') end
  text = string.gsub(text, '"[^"\1-\31]*"', '')         -- a quotation mark that is left stands before a control character
  return not string.find(text, '"', 1, true) and are_numbers(text)
end

function json.string(text) return cjson.encode(as_utf8(text)) end

-- A number as JSON: a whole one without an exponent, another as short as it can be.
function json.number(value)
  if value % 1 == 0 and math.abs(value) < 1e21 then return string.format('%.0f', value) end
  for _, shape in ipairs({'%.15g', '%.16g'}) do
    local short = string.format(shape, value)
    if tonumber(short) == value then return short end
  end
  return string.format('%.17g', value)
end

-- Where the text goes on after the string that begins at a place.
function json.after_string(text, at)
  at = at + 1
  while true do
    local stop = string.find(text, '["\\]', at)
    if string.byte(text, stop) == 34 then return stop + 1 end
    at = stop + 2
  end
end

function json.after_value(text, at)
  local first, depth = string.byte(text, at), 0
  if first == 34 then return json.after_string(text, at) end
  if first ~= 123 and first ~= 91 then return string.find(text, '[,%]}%s]', at) or #text + 1 end
  repeat
    at = string.find(text, '["%[%]{}]', at)
    local sign = string.byte(text, at)
    if sign == 34 then
      at = json.after_string(text, at)
    else
      depth, at = depth + ((sign == 123 or sign == 91) and 1 or -1), at + 1
    end
  until depth == 0
  return at
end

-- The one value that a JSON text holds; nil if it is no JSON, or null.
function json.scalar(text)
  local ok, value = pcall(cjson.decode, '[' .. text .. ']')
  if ok and type(value) == 'table' and #value == 1 and type(value[1]) ~= 'userdata' then return value[1] end
end

-- The text of a JSON value with {"int": "<digits>"} in place of each integer that is too long for a double: cjson would
-- round it. An error where the text is no JSON.
function json.keep_integers(text)
  local parts, at = {}, 1
  if not string.find(text, string.rep('%d', 16)) then return text end
  repeat
    local quote = string.find(text, '"', at, true)
    parts[#parts + 1] = string.gsub(string.sub(text, at, (quote or 0) - 1), '[%d.eE+%-]+', function(number)
      return #number >= 16 and string.find(number, '^%-?[1-9]%d*$') and '{"int":"' .. number .. '"}' or nil
    end)
    at = quote and json.after_string(text, quote)
    if quote then parts[#parts + 1] = string.sub(text, quote, at - 1) end
  until not quote
  return table.concat(parts)
end

-- The order of two integers, as texts of any length: -1, 0 or 1.
function json.compare_integers(one, other)
  local a, b = string.match(one, '%d+'), string.match(other, '%d+')
  local negative = string.byte(one) == 45
  if negative ~= (string.byte(other) == 45) then return negative and -1 or 1 end
  local order = a == b and 0 or (#a < #b or #a == #b and a < b) and -1 or 1
  return negative and -order or order
end

-- {name, JSON text} of each member, in order; nil if the text is no object.
local function members(text)
  local ok, at = pcall(cjson.decode, text), string.match(text, '^%s*{()')
  if not ok or not at then return nil end
  local found = {}
  while true do
    local open = string.match(text, '^[%s,]*()"', at)
    if not open then return found end
    local past = json.after_string(text, open)
    local from = string.match(text, '^%s*:%s*()', past)
    at = json.after_value(text, from)
    found[#found + 1] = {json.scalar(string.sub(text, open, past - 1)), string.sub(text, from, at - 1)}
  end
end

-- The text as it is if it is JSON, else the text as a JSON string.
function json.from_text(text) return json.is_valid(text) and text or json.string(text) end

-- The object with these members (name -> JSON text) in place of those of the same name; nil if the text is no object.
function json.with_members(text, values)
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

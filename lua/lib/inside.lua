-- inside: the members of facts and of what events bring, by name. Each text is read once a call, and what one task has read
-- for it is bounded; a member of a member counts again.

local MOST_JSON = 65536                                 -- bytes

-- From here on it is another task for which is read.
local function begin_reading()
  CALL.json_left, CALL.json_read = MOST_JSON, {}
end

-- Member -> its JSON text; of the same name the last. nil where the text is no object. checked: it is part of a JSON text.
local function texts_inside(text, checked)
  local at = string.match(text, '^%s*{()')
  if not at or not checked and not pcall(cjson.decode, text) then return nil end
  local found = {}
  while true do
    local name, value, past = string.match(text, '^[%s,]*"([^"\\]*)"%s*:%s*([^%s,%]}"%[{]+)()', at)   -- what most are like
    if not name then
      local open = string.match(text, '^[%s,]*()"', at)
      if not open then return found end
      past = after_string(text, open)
      name = scalar(string.sub(text, open, past - 1))
      local from = string.match(text, '^%s*:%s*()', past)
      past = after_value(text, from)
      value = string.sub(text, from, past - 1)
    end
    found[name], at = value, past
  end
end

local function member_texts(text, checked)
  CALL.objects = CALL.objects or {}
  local known = CALL.objects[text]
  if known == nil then
    known = texts_inside(text, checked) or false
    CALL.objects[text] = known
    weigh(#text / 128)
  end
  return known or nil
end

-- The JSON text of a member, or of a member of a member: a.b; nil where there is none, or where it is too much to read.
local function member_of(text, path)
  if not CALL.json_left then begin_reading() end
  local inside = false
  for name in string.gmatch(path, '[^.]+') do
    if not CALL.json_read[text] then
      CALL.json_read[text], CALL.json_left = true, CALL.json_left - #text
    end
    if CALL.json_left < 0 then return nil end
    text = (member_texts(text, inside) or {})[name]
    if not text then return nil end
    inside = true
  end
  return text
end

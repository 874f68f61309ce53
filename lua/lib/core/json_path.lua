-- json_path: members of JSON texts by their path, a.b. Each text is read once a call. What is read for one task is bounded;
-- a member of a member counts again.
--
-- USES  budget, clock, json

local MOST_JSON = 65536                                 -- bytes

-- Start a new bound: what is read from here on is read for another task.
function json_path.begin()
  clock.call.json_left, clock.call.json_read = MOST_JSON, {}
end

-- Member -> its JSON text; the last one if a name is there twice; nil if the text is no object. checked: the text is known
-- to be JSON.
local function texts_inside(text, checked)
  local at = string.match(text, '^%s*{()')
  if not at or not checked and not pcall(cjson.decode, text) then return nil end
  local found = {}
  while true do
    local name, value, past = string.match(text, '^[%s,]*"([^"\\]*)"%s*:%s*([^%s,%]}"%[{]+)()', at)   -- what most are like
    if not name then
      local open = string.match(text, '^[%s,]*()"', at)
      if not open then return found end
      past = json.after_string(text, open)
      name = json.scalar(string.sub(text, open, past - 1))
      local from = string.match(text, '^%s*:%s*()', past)
      past = json.after_value(text, from)
      value = string.sub(text, from, past - 1)
    end
    found[name], at = value, past
  end
end

local function member_texts(text, checked)
  clock.call.objects = clock.call.objects or {}
  local known = clock.call.objects[text]
  if known == nil then
    known = texts_inside(text, checked) or false
    clock.call.objects[text] = known
    budget.spend(#text / 128)
  end
  return known or nil
end

-- The JSON text of a member, or of a member of a member (a.b); nil if there is none, or if more would be read than the bound
-- allows.
function json_path.find(text, path)
  if not clock.call.json_left then json_path.begin() end
  local inside = false
  for name in string.gmatch(path, '[^.]+') do
    if not clock.call.json_read[text] then
      clock.call.json_read[text], clock.call.json_left = true, clock.call.json_left - #text
    end
    if clock.call.json_left < 0 then return nil end
    text = (member_texts(text, inside) or {})[name]
    if not text then return nil end
    inside = true
  end
  return text
end

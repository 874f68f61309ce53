-- rule: a task that each event of a name makes, from a template.

local MOST_RULES = 100                                  -- of one event
local is_text = function(value) return type(value) == 'string' end
local is_texts = function(value)
  if type(value) ~= 'table' or #value > 0 then return false end
  for name, text in pairs(value) do
    if not (is_text(name) and is_text(text)) then return false end
  end
  return true
end
local is_rule = object_of({queue = is_name, due = is_text, id = is_text, bind = is_texts, fields = is_texts}, 'fields')

-- The template that a text holds; nil where it is none.
local function rule_of(text)
  local ok, rule = pcall(cjson.decode, text)
  return ok and is_rule(rule) and rule or nil
end

-- {subject}, {event} and {id} of a text; their grammar needs no escape in JSON.
local function filled(text, happened)
  return (string.gsub(text, '{(%a+)}', function(name) return happened.words[name] end))
end

-- JSON texts of the members that the payload gets from the event: subject, event, id, data or data.<member>.
local function bound_values(bind, happened)
  local values = {}
  for name, from in pairs(bind or {}) do
    local path = string.match(from, '^data%.(.+)$')
    if happened.words[from] then
      values[name] = cjson.encode(happened.words[from])
    elseif from == 'data' then
      values[name] = as_json(happened.data)
    elseif path then
      values[name] = member_of(happened.data, path)
    end
  end
  return values
end

-- The words of enqueue for the task of a rule, or nil and why there are none.
local function words_by(rule, name, happened)
  local payload = rule.fields.payload or 'null'
  if rule.bind then payload = with_members(payload, bound_values(rule.bind, happened)) end
  if not payload then return nil, 'payload', 'must be an object, to bind to it' end
  local words = {1, filled(rule.id or name .. ':{id}', happened), rule.due or '0', 1, 'payload', payload}
  for field, text in pairs(rule.fields) do
    if field ~= 'payload' then
      words[#words + 1], words[#words + 2] = field, filled(text, happened)
      words[4] = words[4] + 1
    end
  end
  return words
end

-- Make what the rules of an event say. Answers <queue>/<id> of the tasks; what cannot be made is told as an event.
local function follow_rules(prefix, event_name, happened, now)
  local flat, made = soft('HGETALL', prefix .. 'rules:' .. event_name) or {}, {}
  for i = 1, #flat, 2 do
    local rule = rule_of(flat[i + 1]) or {fields = {}}
    local q, field, why, task = open(prefix .. 'due:' .. (rule.queue or 'default')), nil, nil, nil
    local words
    words, field, why = words_by(rule, flat[i], happened)
    if words then task, field, why = parse(words, 1, {q}, now) end
    if task and task.plan then
      why = trouble_of(task, {}, {n = 0})
      if why then task, field = nil, 'conditions' end
    end
    if not task then
      event(q, 'rule_failed', flat[i], 'reason', field .. ' ' .. why)
    elseif known_as(task) then
      settle_again(task, now)
    elseif string.byte(create(task, words, now, text(now))) ~= 114 then
      count_created(q, now, 1)
      made[#made + 1] = q.name .. '/' .. task.id
    end
  end
  return made
end

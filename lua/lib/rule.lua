-- rule: a task that each event of a name makes, from a template.

local MOST_RULES, MOST_READ = 100, 1000                 -- of one event: as they are put, and as anybody wrote them
local LONGEST_MADE = 262144                             -- bytes of a payload to which is bound
local is_text = function(value) return type(value) == 'string' end
local is_texts = function(value)
  if type(value) ~= 'table' or #value > 0 then return false end
  for name, text in pairs(value) do
    if not (is_text(name) and is_text(text)) then return false end
  end
  return true
end
local is_binding = function(value) return is_texts(value) and has_at_most(value, MOST_MEMBERS) end
local is_rule = object_of({queue = is_name, due = is_text, id = is_text, bind = is_binding, fields = is_texts}, 'fields')

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
  begin_reading()
  for name, from in pairs(bind or {}) do
    local path = string.match(from, '^data%.(.+)$')
    if happened.words[from] then
      values[name] = cjson.encode(happened.words[from])
    elseif from == 'data' then
      values[name] = as_json(happened.data)
    elseif path then
      local value = member_of(happened.data, path)
      values[name] = value and as_json(value)
    end
  end
  return values
end

-- The words of enqueue for the task of a rule, or nil and why there are none.
local function words_by(rule, name, happened)
  local payload = rule.fields.payload or 'null'
  if rule.bind then
    local values, size = bound_values(rule.bind, happened), #payload
    for _, value in pairs(values) do size = size + #value end
    if size > LONGEST_MADE then return nil, 'payload', 'is too long' end
    payload = with_members(payload, values)
  end
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

-- An event: what stands for its words in a rule, its fact and its data.
local function happening(fact, id, data)
  local event_name, subject = string.match(fact, '^([^:]+):?(.*)$')
  return {words = {event = event_name, subject = subject, id = id}, fact = fact, data = data}
end

-- The conditions of its task where only a newer redsched knows them: then they are taken out of the rule, which is made without.
local function newer_conditions(rule, happened)
  local text = rule.fields.conditions and filled(rule.fields.conditions, happened)
  local plan, _, part = nil, nil, nil
  if text then plan, _, part = plan_of(text) end
  if plan or not part then return nil end
  rule.fields.conditions = nil
  return text
end

-- Make what one rule says, if its queue is the only one that is asked for, or all are (nil). Answers <queue>/<id> of a task
-- that was made, or nil and the field and why none can be; the queue is noted in the event.
local function follow_rule(prefix, key, name, happened, now, only)
  local line = redis.call('HGET', key, name)
  local rule = #line <= 65536 and rule_of(line) or {fields = {}}
  local q = open(prefix .. 'due:' .. (rule.queue or 'default'))
  happened.queue = q.name
  if only and q.name ~= only then return weigh(1 + #line / 4096) end
  local asked = newer_conditions(rule, happened)
  local words, field, why = words_by(rule, name, happened)
  weigh(4 + #line / 512 + (words and #words[6] / 4096 or 0))
  if not words then return nil, field, why end
  local task
  task, field, why = parse(words, 1, {q}, now)
  if not task then return nil, field, why end
  why = task.plan and trouble_of(task, {}, {n = 0})
  if why then return nil, 'conditions', why end
  if known_as(task) then
    settle_again(task, now)
  elseif string.byte(asked and create_for_newer(task, words, asked, now) or create(task, words, now, text(now))) ~= 114 then
    count_created(q, now, 1)
    return q.name .. '/' .. task.id
  end
end

-- The tasks that rules make in one queue have an item of their own where this caller may not write it: whoever may makes them.
local function leave_rules(prefix, happened, now)
  local item = 'made/' .. happened.queue .. '/' .. happened.words.id .. '/' .. happened.fact
  remind(prefix, item, now)
  if cursor_of(prefix, item) == '' then keep_cursor(prefix, item, ' ' .. happened.data) end
end

-- Carry out the rules of an event, in the order of their names, those after last; each by itself: what cannot be made is told
-- as an event. only: those that make a task in that queue; nil: all. Answers <queue>/<id> of the tasks, the last rule that was
-- looked at where there are more, and whether some are left to whoever may write their queue.
local function follow_rules(prefix, happened, last, most, now, only)
  local key, made, begun, left = prefix .. 'rules:' .. happened.words.event, {}, false, false
  local names = (soft('HLEN', key) or 0) <= MOST_READ and soft('HKEYS', key) or {}
  table.sort(names)
  for _, name in ipairs(names) do
    if name > last then
      if begun and is_over(most) then return made, last, left end
      local ok, task, field, why = pcall(follow_rule, prefix, key, name, happened, now, only)
      if ok and task then made[#made + 1] = task end
      if not ok and is_denied(task) then
        if only then error(task, 0) end
        leave_rules(prefix, happened, now)
        left = true
      elseif not ok then
        field, why = 'queue', 'has a key that cannot be used'
      end
      if field then event(open(prefix .. 'due:default'), 'rule_failed', name, 'reason', field .. ' ' .. why) end
      last, begun = name, true
    end
  end
  return made, nil, left
end

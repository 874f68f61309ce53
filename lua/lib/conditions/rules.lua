-- rules: tasks that each event of a name makes, from templates.
--
-- USES  budget, clock, keys, safe, errors, events, stats, json, json_path, submission, enqueue, type_defaults, schema, conditions
-- USES  reminders

-- of one event: as they are put, and as anybody wrote them
rules.MOST = 100
local MOST_READ = 1000
local LONGEST_MADE = 262144                             -- bytes of a payload that gets members of the event
local is_text = function(value) return type(value) == 'string' end
local is_texts = function(value)
  if type(value) ~= 'table' or #value > 0 then return false end
  for name, text in pairs(value) do
    if not (is_text(name) and is_text(text)) then return false end
  end
  return true
end
local is_binding = function(value) return is_texts(value) and schema.has_at_most(value, schema.MOST_MEMBERS) end
local is_rule = schema.object_of({
  queue = keys.is_name, due = is_text, id = is_text, bind = is_binding, fields = is_texts,
}, 'fields')

-- The template that a text holds; nil if it holds none.
function rules.parse(text)
  local ok, rule = pcall(cjson.decode, text)
  return ok and is_rule(rule) and rule or nil
end

-- The text with {subject}, {event} and {id} replaced. Their grammar needs no escape in JSON.
local function filled(text, happened)
  return (string.gsub(text, '{(%a+)}', function(name) return happened.words[name] end))
end

-- JSON texts of the members that the payload gets from the event: subject, event, id, data or data.<member>.
local function bound_values(bind, happened)
  local values = {}
  json_path.begin()
  for name, from in pairs(bind or {}) do
    local path = string.match(from, '^data%.(.+)$')
    if happened.words[from] then
      values[name] = cjson.encode(happened.words[from])
    elseif from == 'data' then
      values[name] = json.from_text(happened.data)
    elseif path then
      local value = json_path.find(happened.data, path)
      values[name] = value and json.from_text(value)
    end
  end
  return values
end

-- The queue of a rule's task: what the rule says, or what is known of the task's type, or default.
function rules.queue_of(prefix, rule, happened)
  local name = rule.fields.type and filled(rule.fields.type, happened)
  return rule.queue or keys.is_name(name) and type_defaults.queue_of(prefix, name) or 'default'
end

-- The words of enqueue for the task of a rule, or nil and why there are none.
function rules.words(rule, name, happened)
  local payload = rule.fields.payload or 'null'
  if rule.bind then
    local values, size = bound_values(rule.bind, happened), #payload
    for _, value in pairs(values) do size = size + #value end
    if size > LONGEST_MADE then return nil, 'payload', 'is too long' end
    payload = json.with_members(payload, values)
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
function rules.happening(fact, id, data)
  local event_name, subject = string.match(fact, '^([^:]+):?(.*)$')
  return {words = {event = event_name, subject = subject, id = id}, fact = fact, data = data}
end

-- The conditions of a rule's task if only a newer redsched knows them. They are taken out of the rule, so that its other
-- fields can be checked.
local function newer_conditions(rule, happened)
  local text = rule.fields.conditions and filled(rule.fields.conditions, happened)
  local plan, _, part = nil, nil, nil
  if text then plan, _, part = conditions.of(text) end
  if plan or not part then return nil end
  rule.fields.conditions = nil
  return text
end

-- Make the task of one rule. only: nothing is made unless the rule's queue is this one; nil: any queue. Answers <queue>/<id>
-- of a task that was made, or nil, the field and why none can be made. The queue is noted in the event.
local function follow_one(prefix, key, name, happened, now, only)
  local line = redis.call('HGET', key, name)
  local rule = #line <= 65536 and rules.parse(line) or {fields = {}}
  local q = keys.open(prefix .. 'due:' .. rules.queue_of(prefix, rule, happened))
  happened.queue = q.name
  if only and q.name ~= only then return budget.spend(1 + #line / 4096) end
  local asked = newer_conditions(rule, happened)
  local words, field, why = rules.words(rule, name, happened)
  budget.spend(4 + #line / 512 + (words and #words[6] / 4096 or 0))
  if not words then return nil, field, why end
  local task
  task, field, why = submission.parse(words, 1, {q}, now)
  if not task then return nil, field, why end
  why = task.plan and submission.conditions_problem(task, {}, {n = 0})
  if why then return nil, 'conditions', why end
  if submission.known_as(task) then
    enqueue.repeat_planned(task, now)
  elseif string.byte(asked and enqueue.create_for_newer(task, asked, now)
    or enqueue.create(task, now, clock.text(now))) ~= 114 then
    stats.count_created(q, now, 1)
    return q.name .. '/' .. task.id
  end
end

-- If this caller may not write a queue, the tasks that rules make in it get an item of their own in the agenda: a caller
-- that may write it makes them.
local function leave_rules(prefix, happened, now)
  local item = 'made/' .. happened.queue .. '/' .. happened.words.id .. '/' .. happened.fact
  reminders.add(prefix, item, now)
  if reminders.cursor(prefix, item) == '' then reminders.keep_cursor(prefix, item, ' ' .. happened.data) end
end

-- Carry out the rules of an event after the rule `last`, in the order of their names. What cannot be made is told as an
-- event and does not hold up the others. only: rules that make a task in that queue; nil: all. Answers <queue>/<id> of the
-- tasks; the last rule that was looked at, if there are more; and whether some are left to a caller that may write their
-- queue.
function rules.follow(prefix, happened, last, most, now, only)
  local key, made, begun, left = prefix .. 'rules:' .. happened.words.event, {}, false, false
  local names = (safe.call('HLEN', key) or 0) <= MOST_READ and safe.call('HKEYS', key) or {}
  table.sort(names)
  for _, name in ipairs(names) do
    if name > last then
      if begun and budget.is_spent(most) then return made, last, left end
      local ok, task, field, why = pcall(follow_one, prefix, key, name, happened, now, only)
      if ok and task then made[#made + 1] = task end
      if not ok and errors.is_denied(task) then
        if only then error(task, 0) end
        leave_rules(prefix, happened, now)
        left = true
      elseif not ok then
        field, why = 'queue', 'has a key that cannot be used'
      end
      if field then events.tell(keys.open(prefix .. 'due:default'), 'rule_failed', name, 'reason', field .. ' ' .. why) end
      last, begun = name, true
    end
  end
  return made, nil, left
end

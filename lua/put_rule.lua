-- put_rule: from now on each event of a name makes a task.
--
-- KEYS   rules  hash    {namespace}:rules
-- ARGV   now    int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id     string  a name
-- ARGV   event  string  a name
-- ARGV   rule   string  JSON: queue (its type's, or default), due (as enqueue takes it; now), id (of the task; <rule>:{id}),
--                       bind (member of the payload -> subject, event, id, data or data.<member>), fields (of the task).
--                       {subject}, {event} and {id} in the id and in fields other than the payload stand for those of the event
-- REPLY  word           created | updated | unchanged; error RS_INVALID 1 <field> <why>: nothing was written
-- FLAGS  none
-- USES   clock, keys, safe, events, submission, rules

local rules_key, id, name, line = KEYS[1], ARGV[2], ARGV[3], ARGV[4]
local prefix = string.match(rules_key, '^({[^{}]+}:)rules$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:rules') end
local now = clock.now(prefix, ARGV[1])
if not keys.is_name(id) then return redis.error_reply('RS_INVALID 1 id must be 1 to 100 of [A-Za-z0-9._@+-]') end
if not keys.is_name(name) then return redis.error_reply('RS_INVALID 1 on must be 1 to 100 of [A-Za-z0-9._@+-]') end
local rule = #line <= 65536 and rules.parse(line)
if not rule then return redis.error_reply('RS_INVALID 1 rule cannot be used') end

local example = {words = {event = name, subject = 'subject', id = 'id'}, data = '{}'}
local q = keys.open(prefix .. 'due:' .. rules.queue_of(prefix, rule, example))
local words, field, why = rules.words(rule, id, example)
local task
if words then task, field, why = submission.parse(words, 1, {q}, now) end
if not task then return redis.error_reply('RS_INVALID 1 ' .. (field == 'id' and 'task_id' or 'task.' .. field) .. ' ' .. why) end

local old = redis.call('HGET', rules_key, id)
if old == name and redis.call('HGET', prefix .. 'rules:' .. name, id) == line then return 'unchanged' end
if old ~= name and redis.call('HLEN', prefix .. 'rules:' .. name) >= rules.MOST then
  return redis.error_reply('RS_INVALID 1 on has 100 rules already')
end
redis.call('HSET', prefix .. 'rules:' .. name, id, line)
-- before the next write: if this stops half-way, the call that repeats it still knows the old event
if old and old ~= name then safe.call('HDEL', prefix .. 'rules:' .. old, id) end
redis.call('HSET', rules_key, id, name)
events.tell(q, 'rule_put', id, 'on', name)
return old and 'updated' or 'created'

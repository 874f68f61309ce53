-- drop_rule: events make no more tasks by a rule; those that it made stay.
--
-- KEYS   rules  hash    {namespace}:rules
-- ARGV   id     string  the rule
-- REPLY  word           dropped | missing
-- FLAGS  allow-oom
-- USES   keys, events, memory

local rules_key, id = KEYS[1], ARGV[1]
local prefix = string.match(rules_key, '^({[^{}]+}:)rules$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:rules') end
memory.drain({due = prefix .. 'agenda'})
local name = redis.call('HGET', rules_key, id)
if not name then return 'missing' end
redis.call('HDEL', prefix .. 'rules:' .. name, id)
redis.call('HDEL', rules_key, id)
events.tell(keys.open(prefix .. 'due:default'), 'rule_dropped', id, 'on', name)
return 'dropped'

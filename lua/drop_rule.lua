-- drop_rule: events make no more tasks by a rule; those that it made stay.
--
-- KEYS   rules  hash    {namespace}:rules
-- ARGV   id     string  the rule
-- REPLY  word           dropped | missing
-- FLAGS  allow-oom
-- USES   keys, event, drain

local rules, id = KEYS[1], ARGV[1]
local prefix = string.match(rules, '^({[^{}]+}:)rules$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:rules') end
drain({due = prefix .. 'agenda'})
local name = redis.call('HGET', rules, id)
if not name then return 'missing' end
redis.call('HDEL', prefix .. 'rules:' .. name, id)
redis.call('HDEL', rules, id)
event(open(prefix .. 'due:default'), 'rule_dropped', id, 'on', name)
return 'dropped'

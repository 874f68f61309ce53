-- emit: record an event: its fact is there for a while, rules make their tasks, those who wait for it go on or are cancelled.
--
-- KEYS   fact   string  {namespace}:fact:<event>:<subject>, or {namespace}:fact:<event>
-- ARGV   now    int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   data   string  UTF-8 JSON, at most 65536 bytes; what conditions and payloads can read of the fact
-- ARGV   ttl    int     1000..31536000000, ms that the fact is there; its listeners are told however short that is
-- ARGV   id     string  of this event, [A-Za-z0-9._@+:-]: the same again makes no task of a rule twice
-- REPLY  {heard, more, task...}  listeners told; 1 where a mover goes on telling others or making tasks of more rules;
--                       <queue>/<id> of tasks made by rules; error RS_INVALID 1 <field> <why> before anything is written
-- FLAGS  none
-- USES   clock, keys, check, safe, events, json, schema, reminders, rules, listeners

local fact, data, ttl, id = KEYS[1], ARGV[2], check.whole(ARGV[3], 1000, 31536000000), ARGV[4]
local prefix, name = string.match(fact, '^({[^{}]+}:)fact:(.+)$')
if not prefix or not schema.is_fact(name) then
  return redis.error_reply('RS_KEYS the key must be {namespace}:fact:<event>:<subject>')
end
if not keys.is_name(string.match(name, '^[^:]+')) then
  return redis.error_reply('RS_INVALID 1 event must be 1 to 100 of [A-Za-z0-9._@+-]')
end
if not keys.is_id(id) then return redis.error_reply('RS_INVALID 1 id must be 1 to 128 of [A-Za-z0-9._@+:-]') end
if not ttl then return redis.error_reply('RS_INVALID 1 ttl must be ms, a second to a year') end
if #data > 65536 then return redis.error_reply('RS_INVALID 1 data is too long') end
if not json.is_valid(data) then return redis.error_reply('RS_INVALID 1 data must be JSON') end
local now = clock.now(prefix, ARGV[1])

local AT_ONCE, MOST = 32, 200                           -- listeners; units of work for rules, as budget counts them
local many = (safe.call('ZCARD', prefix .. 'listeners:' .. name) or 0) > AT_ONCE
redis.call('SET', fact, data, 'PX', ttl)
-- before any rule: if this stops half-way, all listeners are still told
if many then listeners.tell_later(prefix, name, now, '') end
events.tell({prefix = prefix, name = ''}, 'emitted', name)
events.remember(prefix, string.match(name, '^[^:]+'))
local made, last_rule, ruled_later = rules.follow(prefix, rules.happening(name, id, data), '', MOST, now)
if last_rule then
  reminders.add(prefix, 'rules/' .. id .. '/' .. name, 0)
  reminders.keep_cursor(prefix, 'rules/' .. id .. '/' .. name, last_rule .. ' ' .. data)
end
if many then return {0, 1, unpack(made)} end
local told, last, _, left = listeners.tell(prefix, name, '', 2 * AT_ONCE + 2, now, now)
if last then listeners.tell_later(prefix, name, now, last) end
return {told, (last or left > 0 or last_rule or ruled_later) and 1 or 0, unpack(made)}

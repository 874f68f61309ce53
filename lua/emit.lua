-- emit: record an event: its fact is there for a while, rules make their tasks, those who wait for it go on or are cancelled.
--
-- KEYS   fact   string  {namespace}:fact:<event>:<subject>, or {namespace}:fact:<event>
-- ARGV   now    int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   data   string  UTF-8 JSON, at most 65536 bytes; what conditions and payloads can read of the fact
-- ARGV   ttl    int     1000..31536000000, ms that the fact is there; at least a minute where it has many listeners
-- ARGV   id     string  of this event, [A-Za-z0-9._@+:-]: the same again makes no task of a rule twice
-- REPLY  {heard, more, task...}  listeners told; 1 where the mover goes on telling others; <queue>/<id> of tasks made by rules;
--                       error RS_INVALID 1 <field> <why> before anything is written
-- FLAGS  none
-- USES   clock, keys, check, read, event, plan, hold, retry, rule, crowd, agenda

local fact, data, ttl, id = KEYS[1], ARGV[2], whole(ARGV[3], 1000, 31536000000), ARGV[4]
local prefix, name = string.match(fact, '^({[^{}]+}:)fact:(.+)$')
if not prefix or not is_fact(name) then return redis.error_reply('RS_KEYS the key must be {namespace}:fact:<event>:<subject>') end
local event_name, subject = string.match(name, '^([^:]+):?(.*)$')
if not is_name(event_name) then return redis.error_reply('RS_INVALID 1 event must be 1 to 100 of [A-Za-z0-9._@+-]') end
if not is_id(id) then return redis.error_reply('RS_INVALID 1 id must be 1 to 128 of [A-Za-z0-9._@+:-]') end
if not ttl then return redis.error_reply('RS_INVALID 1 ttl must be ms, a second to a year') end
if #data > 65536 then return redis.error_reply('RS_INVALID 1 data is too long') end
local now = clock(prefix, ARGV[1])

local AT_ONCE = 32                                      -- listeners
local many = (soft('ZCARD', prefix .. 'listeners:' .. name) or 0) > AT_ONCE
redis.call('SET', fact, data, 'PX', many and math.max(ttl, 60000) or ttl)
event({prefix = prefix, name = ''}, 'emitted', name)
local made = follow_rules(prefix, event_name, {words = {event = event_name, subject = subject, id = id}, data = data}, now)
if many then
  keep_cursor(prefix, 'heard/' .. name)
  remind(prefix, 'heard/' .. name, 0)                   -- before any is told: who reads half of it goes on there
  return {0, 1, unpack(made)}
end
return {(tell_listeners(prefix, name, '', 2 * AT_ONCE + 2, now)), 0, unpack(made)}

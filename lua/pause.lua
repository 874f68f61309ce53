-- pause: start no more tasks of a queue, or of a type or a key of it. Those that run go on; start-by and quarantine too.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   what    string  queue | type:<type> | key:<key>
-- ARGV   reason  string  at most 200 bytes are kept
-- ARGV   until   string  0: until it is resumed; ms since the epoch or +ms: until then
-- REPLY  word            paused; error RS_INVALID 1 <field> <why>
-- FLAGS  none
-- USES   clock, keys, events, stats, fields, schema, reminders

local q, what, reason = keys.open(KEYS[1]), ARGV[2], string.sub(ARGV[3], 1, 200)
local now = clock.now(q.prefix, ARGV[1])
local till = fields.due_time(ARGV[4], now)
local kind, name = string.match(what, '^(%a+):(.+)$')
if not (what == 'queue' or kind == 'type' and keys.is_name(name) or kind == 'key' and schema.is_key(name)) then
  return redis.error_reply('RS_INVALID 1 what must be queue, type:<type> or key:<key>')
end
if not till or till ~= 0 and till <= now then return redis.error_reply('RS_INVALID 1 until must be 0, or later than now') end
redis.call('HSET', q.paused, what, clock.text(till) .. ' ' .. clock.text(now) .. ' ' .. reason)
if till > 0 then reminders.add(q.prefix, 'resume/' .. q.name .. '/' .. what, till) end
stats.add_queue(q)
events.tell(q, 'paused', what, 'reason', reason)
return 'paused'

-- keep_schedules: say which schedules an owner still has; what else belongs to it is paused or dropped. An older version than the
-- newest with a worker that lives decides nothing.
--
-- KEYS   schedules  zset    {namespace}:schedules
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   owner      string  a name: an application, or who else puts schedules in its name
-- ARGV   version    string  1 to 8 numbers with dots between them, or '-'
-- ARGV   mode       string  pause | drop | dry (write nothing) | changed (write nothing, and tell another thing)
-- ARGV   id...      string  up to 1000 schedules that stay
-- REPLY  {version, id...}   the version that rules, '' if no worker of it lives; the schedules that were paused or dropped, or
--                           would be; 100 of those that were: there may be more. A paused one makes runs again when its owner
--                           puts it again. changed: those of the schedules that stay which the owner still has, but another
--                           version of it put or left out; error RS_INVALID 1 <field> <why>
-- FLAGS  allow-oom
-- USES   clock, keys, memory, schedules, versions, owners

local prefix, owner, version, mode, those = schedules.prefix_of(KEYS[1]), ARGV[2], ARGV[3], ARGV[4], {}
local now = clock.now(prefix, ARGV[1])
local function refuse(field, why) return redis.error_reply('RS_INVALID 1 ' .. field .. ' ' .. why) end
if not keys.is_name(owner) then return refuse('owner', 'must be 1 to 100 of [A-Za-z0-9._@+-]') end
if not versions.numbers(version or '') then return refuse('version', 'must be 1 to 8 numbers with dots between them, or -') end
local MODES = {pause = true, drop = true, dry = true, changed = true}
if not MODES[mode or ''] then return refuse('mode', 'must be pause, drop, dry or changed') end
if #ARGV > 1004 then return refuse('id', 'is given more than 1000 times') end
for i = 5, #ARGV do those[ARGV[i]] = true end
local ruling = versions.ruling(prefix, owner, now)
if ruling and versions.compare(ruling, version) > 0 then return {ruling} end
if mode == 'changed' then return {ruling or '', unpack(owners.changed(prefix, owner, version, ARGV, 5))} end
memory.drain({due = KEYS[1]})
return {ruling or '', unpack(owners.leave_out(prefix, owner, version, mode, those, now))}

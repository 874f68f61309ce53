-- follow: let a task that is still to be confirmed come after more tasks, where they are too many for one call.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   id      string  the task; it was submitted with hold and after
-- ARGV   ref...  string  1..1000 ids, or <queue>/<id>
-- REPLY  word            followed | refused (it does not wait for its confirmation, or comes after none) | missing; error
--                        RS_INVALID <ref, from 1> after <why> before anything is written: not there, moved to another queue, or
--                        it comes after the task
-- FLAGS  none
-- USES   keys, hash, schema, conditions, links, circles, blocked

local q, id = keys.open(KEYS[1]), ARGV[1]
local refs = {}
for i = 2, math.min(#ARGV, 1001) do
  local home, parent
  if schema.is_ref(ARGV[i]) then home, parent = conditions.resolve(q, ARGV[i]) end
  if not home or redis.call('EXISTS', home.task .. parent) == 0 then
    return redis.error_reply('RS_INVALID ' .. (i - 1) .. ' after names a task that is not there')
  end
  if hash.is_note(home.task .. parent) then
    return redis.error_reply('RS_INVALID ' .. (i - 1) .. ' after names a task that was moved to another queue; name it there')
  end
  refs[i - 1] = ARGV[i]
end
local f = keys.is_id(id) and blocked.read(q, id)
if not f then return 'missing' end
local plan = f.conditions and conditions.known(f.conditions)
if f.state ~= 'held' or f.blocked ~= 'confirm' or not plan or not plan.after then return 'refused' end
if circles.find(q, id, refs, {}, circles.MOST) then
  return redis.error_reply('RS_INVALID 1 after names a task that comes after this one')
end
links.follow(q, id, refs)
return 'followed'

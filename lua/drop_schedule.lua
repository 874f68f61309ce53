-- drop_schedule: remove up to 1000 schedules for good. The tasks that they made stay.
--
-- KEYS   schedules  zset    {namespace}:schedules
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id...      string  1..1000 schedules
-- REPLY  {word...}          dropped | missing, in order
-- FLAGS  allow-oom
-- USES   clock, keys, memory, schedules

local key, prefix, answers = KEYS[1], schedules.prefix_of(KEYS[1]), {}
clock.now(prefix, ARGV[1])
memory.drain({due = key})
for i = 2, math.min(#ARGV, 1001) do
  local s = schedules.read(prefix, ARGV[i])
  local gone = s ~= nil
  if s then
    schedules.drop(s)
  else                                                  -- somebody else's key
    gone = keys.is_name(ARGV[i]) and redis.call('UNLINK', prefix .. 'schedule:' .. ARGV[i]) == 1
    redis.call('ZREM', key, ARGV[i])
  end
  answers[i - 1] = gone and 'dropped' or 'missing'
end
return answers

#!lua name=benchfloorwrite

-- floor: so many HSETs of four fields, with nothing read and nothing checked.

local function write(_, words)
  for i = 1, tonumber(words[1]) do
    redis.call('HSET', '{rs}:floor:' .. i, 'state', 'ready', 'entry', 'normal/0-1', 'due_at', '1800000000000', 'type', 't')
  end
  return 'OK'
end

redis.register_function('floor_write', write)

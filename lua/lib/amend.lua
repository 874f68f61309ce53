-- amend: puts a key right again.

-- The item of a task that waits in a digest without one.
local function put_item(q, name, id)
  local item = as_json(redis.call('HGET', q.task .. id, 'payload') or 'null')
  redis.call('HSET', q.items .. name, id, item)
  redis.call('HINCRBY', q.items .. name, ':bytes', #item)
end

-- A key that ties tasks to one another. Nothing that a task needs is dropped: it is entered again when it is judged.
local function amend_loose(q, name, broken, stray, now)
  local kind, _, rest = string.match(name, '^(%a+):([^:]+):(.+)$')
  if broken == 'stray_item' then
    redis.call('ZREM', q.prefix .. 'agenda', unpack(stray))
  elseif broken == 'stale_cursor' then
    redis.call('HDEL', q.prefix .. 'cursors', unpack(stray))
  elseif broken == 'stale_line' then
    advance(q, rest, now)
    return 'advanced'
  elseif broken == 'stale_listener' then
    redis.call('ZREM', q.prefix .. name, unpack(stray))
  elseif broken == 'no_item' then
    for _, id in ipairs(stray) do put_item(q, rest, id) end
    return 'completed'
  elseif kind == 'children' then
    local id, word = string.match(rest, '^([^/]*)/(%a+)$')
    remind(q.prefix, id and 'removed/' .. word .. '/' .. q.name .. '/' .. id or 'ended/gone/' .. q.name .. '/' .. rest, 1)
    return 'reminded'
  elseif kind == 'items' or kind == 'members' then
    remind(q.prefix, 'digest/' .. q.name .. '/' .. rest, 0)
    return 'reminded'
  elseif broken == 'circle' then
    bury(q, rest, now, 'malformed')                     -- those that come after it are told, so that all of them end
    redis.call('HDEL', q.task .. rest, 'blocked', 'delay_ms')
    redis.call('ZREM', q.held, rest)
    redis.call('ZREM', q.due, rest)
    return 'dead'
  elseif broken == 'parents' or broken == 'untold' then
    recount(q, rest, now)
    return 'recounted'
  else
    redis.call('UNLINK', q.prefix .. name)
  end
  return 'dropped'
end

local function mend_key(q, name, now)
  local key, answer = q.prefix .. name, 'well'
  local faults, _, stray = key_faults(q.prefix, name)
  for _, broken in ipairs(faults) do
    if broken == 'key_type' or broken == 'used_up' then
      local aside = q.prefix .. 'aside:' .. name
      if redis.call('EXISTS', aside) == 1 then aside = aside .. ':' .. text(now) end
      redis.call('RENAME', key, aside)
      return 'aside'
    elseif broken == 'key_ttl' then
      redis.call('PERSIST', key)
      answer = 'kept'
    elseif broken == 'no_schedule' then
      redis.call('ZREM', q.prefix .. 'schedules', string.sub(name, 10))
      answer = 'dropped'
    elseif broken == 'unscheduled' or broken == 'never_looked_at' then
      if soft('ZADD', q.prefix .. 'schedules', 0, string.sub(name, 10)) then answer = 'scheduled' end
    elseif broken == 'no_group' then
      redis.call('XGROUP', 'CREATE', key, 'workers', '0')
      answer = 'grouped'
    elseif broken ~= 'epoch' and broken ~= 'foreign_group' then
      local queue = string.match(name, '^%a+:([^:]+):')
      local home = (not queue or broken == 'stale_listener' or queue == q.name) and q or open(q.prefix .. 'due:' .. queue)
      answer = amend_loose(home, name, broken, stray, now)
    end
  end
  return answer
end

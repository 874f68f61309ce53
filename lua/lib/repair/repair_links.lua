-- repair_links: enter a task again where its conditions say, tell it what it missed, and put single keys right.
--
-- USES  clock, keys, check, safe, hash, json, endings, cancel, conditions, facts, reminders, holds, links, blocked
-- USES  pauses, verdicts, task_view, task_rules, parent_rules, link_rules, index_rules, key_rules

-- Take tasks out of a line that do not belong there, until one does. That task goes on if it is held for its turn.
local function advance(q, line, now)
  local first
  for _ = 1, 100 do
    first = redis.call('ZRANGE', q.line .. line, 0, 0)[1]
    if not first or link_rules.stands_in_line(q, first, line) then break end
    redis.call('ZREM', q.line .. line, first)
  end
  if first and redis.call('HGET', q.task .. first, 'blocked') == 'line' then holds.release(q, first, now) end
end

-- Put the hash of a child right: its parents are counted again, live parents get it as a child, and the mover tells it of
-- the others.
local function recount(q, id, now)
  local c, key = parent_rules.count(q, id), q.parents .. id
  if not c then return end
  for _, ref in ipairs(c.after.ids) do
    local home, parent = conditions.resolve(q, ref)
    local name = home.name .. '/' .. parent
    if redis.call('HSETNX', key, name, '') == 1 then c.open[#c.open + 1] = name end
  end
  local left = 0
  for _, name in ipairs(c.open) do
    local broken, home, parent, state, removed = parent_rules.parent_fault(q, id, name, c.after)
    if removed then
      left = left + 1
      if broken then reminders.add_from_start(q.prefix, 'removed/' .. removed .. '/' .. name, 1) end
    elseif home then
      left = left + 1
      safe.call('ZADD', home.children .. parent, 0, q.name .. '/' .. id)
      if state then links.mark(home.task .. parent, 'c') end
      if broken and not hash.LIVE[state or ''] then
        reminders.add_from_start(q.prefix, 'ended/' .. (state or 'gone') .. '/' .. name, 0)
      end
    else
      redis.call('HDEL', key, name)
    end
  end
  redis.call('HSET', key, ':left', left, ':failed', c.failed)
  if c.first then redis.call('HSETNX', key, ':first', c.first) end
  verdicts.look_again(q, id, now)
end

-- Put a hold right that nothing would end.
local function repair_hold(q, id, broken, now)
  local v, f = task_view.read(q, id), blocked.read(q, id)
  local plan, newer, what = nil, false, string.match(f.blocked or '', '^pause:(.+)$')
  if f.conditions then plan, newer = conditions.known(f.conditions) end
  if f.state ~= 'held' or not v.score.held then return end
  if not task_rules.is_held_for(v, plan, newer) then
    if f.blocked == 'line' or f.blocked == 'digest' then holds.release(q, id, now) end
  elseif broken.undigested then
    holds.release(q, id, now)                           -- promote judges it: it joins again
  elseif v.score.held < holds.NO_END then
    reminders.add(q.prefix, 'hold/' .. q.name, v.score.held)
  end
  if what then
    local till = pauses.till(q, what)
    safe.call('ZADD', q.stopped .. what, 'NX', clock.text(check.whole(f.due_at or '', 1e11, 4e12) or now), id)
    if till ~= 0 then reminders.add(q.prefix, 'resume/' .. q.name .. '/' .. what, till and till > now and till or 0) end
  end
  verdicts.look_again(q, id, now)
end

function repair_links.of_task(q, id, broken, now)
  local f = blocked.read(q, id)
  local plan = hash.LIVE[f.state] and f.conditions and conditions.known(f.conditions)
  if plan and (task_rules.is_entered(f.bound) or task_rules.is_judged(f.state, f.blocked)) then
    local fact = facts.first(q.prefix, plan.cancel_on)
    links.mark(q.task .. id, 'p')
    for _, name in ipairs(conditions.facts(plan)) do safe.call('ZADD', q.prefix .. 'listeners:' .. name, 0,
      q.name .. '/' .. id) end
    links.stand_in_lines(q, id, links.lines_of(plan, f.key))
    if plan.after then recount(q, id, now) end
    if fact and broken.deaf then cancel.task(q, id, now, 'event ' .. fact) end
  end
  repair_hold(q, id, broken, now)
end

-- Write the item of a task that waits in a digest without one.
local function put_item(q, name, id)
  local item = json.from_text(redis.call('HGET', q.task .. id, 'payload') or 'null')
  redis.call('HSET', q.items .. name, id, item)
  redis.call('HINCRBY', q.items .. name, ':bytes', #item)
end

-- Put a key right that links tasks to one another. Nothing that a task needs is dropped: it is entered again when it is
-- judged.
local function repair_link_key(q, name, broken, stray, now)
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
    reminders.add(q.prefix, id and 'removed/' .. word .. '/' .. q.name .. '/' .. id
      or 'ended/gone/' .. q.name .. '/' .. rest, 1)
    return 'reminded'
  elseif kind == 'items' or kind == 'members' then
    reminders.add(q.prefix, 'digest/' .. q.name .. '/' .. rest, 0)
    return 'reminded'
  elseif broken == 'circle' then
    endings.dead(q, rest, now, 'malformed')             -- the tasks after it are told, so that all of them end
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

function repair_links.of_key(q, name, now)
  local key, answer = q.prefix .. name, 'well'
  local faults, _, stray = key_rules.faults(q.prefix, name)
  for _, broken in ipairs(faults) do
    if broken == 'key_type' or broken == 'used_up' then
      local aside = q.prefix .. 'aside:' .. name
      if redis.call('EXISTS', aside) == 1 then aside = aside .. ':' .. clock.text(now) end
      redis.call('RENAME', key, aside)
      return 'aside'
    elseif broken == 'key_ttl' then
      redis.call('PERSIST', key)
      answer = 'kept'
    elseif broken == 'no_schedule' then
      redis.call('ZREM', q.prefix .. 'schedules', string.sub(name, 10))
      answer = 'dropped'
    elseif broken == 'stale_index' then
      answer = index_rules.mend(q.prefix, name)
    elseif broken == 'unscheduled' or broken == 'never_looked_at' then
      if safe.call('ZADD', q.prefix .. 'schedules', 0, string.sub(name, 10)) then answer = 'scheduled' end
    elseif broken == 'no_group' then
      redis.call('XGROUP', 'CREATE', key, 'workers', '0')
      answer = 'grouped'
    elseif broken ~= 'epoch' and broken ~= 'foreign_group' then
      local queue = string.match(name, '^%a+:([^:]+):')
      local home = (not queue or broken == 'stale_listener' or queue == q.name) and q or keys.open(q.prefix .. 'due:' .. queue)
      answer = repair_link_key(home, name, broken, stray, now)
    end
  end
  return answer
end

-- retie: enters a task again where its plan says, and has it told of what it missed.

-- Who has no place in a line leaves it; whose turn it is then goes on.
local function advance(q, line, now)
  local first
  for _ = 1, 100 do
    first = redis.call('ZRANGE', q.line .. line, 0, 0)[1]
    if not first or NAMED.stands(q, first, line) then break end
    redis.call('ZREM', q.line .. line, first)
  end
  if first and redis.call('HGET', q.task .. first, 'blocked') == 'line' then release_task(q, first, now) end
end

-- The hash of a child: its parents are counted again, those that live name it, and the mover tells of the others.
local function recount(q, id, now)
  local c, key = count_parents(q, id), q.parents .. id
  if not c then return end
  for _, ref in ipairs(c.after.ids) do
    local home, parent = ref_of(q, ref)
    local name = home.name .. '/' .. parent
    if redis.call('HSETNX', key, name, '') == 1 then c.open[#c.open + 1] = name end
  end
  local left = 0
  for _, name in ipairs(c.open) do
    local broken, home, parent, state, removed = parent_fault(q, id, name, c.after)
    if removed then
      left = left + 1
      if broken then remind_from_start(q.prefix, 'removed/' .. removed .. '/' .. name, 1) end
    elseif home then
      left = left + 1
      soft('ZADD', home.children .. parent, 0, q.name .. '/' .. id)
      if state then bind(home.task .. parent, 'c') end
      if broken and not LIVE[state or ''] then remind_from_start(q.prefix, 'ended/' .. (state or 'gone') .. '/' .. name, 0) end
    else
      redis.call('HDEL', key, name)
    end
  end
  redis.call('HSET', key, ':left', left, ':failed', c.failed)
  if c.first then redis.call('HSETNX', key, ':first', c.first) end
  consider(q, id, now)
end

-- A hold that nobody would end.
local function rehold(q, id, broken, now)
  local v, f = view_of(q, id), read_planned(q, id)
  local plan, newer, what = nil, false, string.match(f.blocked or '', '^pause:(.+)$')
  if f.conditions then plan, newer = known_plan(f.conditions) end
  if f.state ~= 'held' or not v.score.held then return end
  if not is_held_for(v, plan, newer) then
    if f.blocked == 'line' or f.blocked == 'digest' then release_task(q, id, now) end
  elseif broken.undigested then
    release_task(q, id, now)                            -- promote judges it: it joins again
  elseif v.score.held < NO_END then
    remind(q.prefix, 'hold/' .. q.name, v.score.held)
  end
  if what then
    local till = paused_till(q, what)
    soft('ZADD', q.stopped .. what, 'NX', text(whole(f.due_at or '', 1e11, 4e12) or now), id)
    if till ~= 0 then remind(q.prefix, 'resume/' .. q.name .. '/' .. what, till and till > now and till or 0) end
  end
  consider(q, id, now)
end

local function retie(q, id, broken, now)
  local f = read_planned(q, id)
  local plan = LIVE[f.state] and f.conditions and known_plan(f.conditions)
  if plan and (is_bound(f.bound) or is_judged(f.state, f.blocked)) then
    local fact = first_fact(q.prefix, plan.cancel_on)
    bind(q.task .. id, 'p')
    for _, name in ipairs(facts_of(plan)) do soft('ZADD', q.prefix .. 'listeners:' .. name, 0, q.name .. '/' .. id) end
    stand_in_lines(q, id, lines_of(plan, f.key))
    if plan.after then recount(q, id, now) end
    if fact and broken.deaf then stop_task(q, id, now, 'event ' .. fact) end
  end
  rehold(q, id, broken, now)
end

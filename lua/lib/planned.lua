-- planned: what a due task with conditions does: run, wait, be merged, be looked at again, or never run.

-- Enter it where its plan says. Answers nothing, or the final state that it has by that, and why.
local function enter(q, id, plan, f, due, now)
  local bound = f.bound or ''
  if string.find(bound, 'c', 1, true) then
    local parents = plan.after and CIRCLES.parents(q, id, plan.after, bound, CIRCLES.most) or not plan.after and {}
    if not parents or CIRCLES.of(q, id, parents, lines_of(plan, f.key), CIRCLES.most) then return 'dead', 'malformed' end
  end
  if not f.created_at then redis.call('HSET', q.task .. id, 'created_at', text(now)) end
  f.created_at = f.created_at or text(now)
  bind(q.task .. id, 't')
  local tied = tie(q, id, plan, f.key, string.find(bound, 't', 1, true) and {})   -- rs1_enqueue has seen all of its parents
  local taken, holder = true, nil
  if tied and plan.unique then taken, holder = make_unique(q, id, plan.unique, due, now) end
  if tied and taken then bind(q.task .. id, 'p') end    -- last: who stops before it enters it once more
  if not tied then return 'dead', 'malformed' end
  if not taken then return 'skipped', 'duplicate of ' .. holder end
end

local function complete_payload(q, id, plan, f)
  if f.frozen or not plan.late then return true end
  local payload = from_facts(q.prefix, plan.late, f.payload)
  if payload then redis.call('HSET', q.task .. id, 'payload', payload, 'frozen', 1) end
  return payload ~= nil
end

-- The end that a word of blocked_by or of enter means, or the hold.
local function halt(q, id, word, more, f, due_at, now)
  if word == 'dead' then
    bury(q, id, now, more)
  elseif FINISHED[word] then
    conclude(q, id, word, now, f, more)
  else
    hold_task(q, id, word, math.min(more, f.expires), 'due_at', due_at)
  end
  return true
end

-- true: it leaves due; false: it stays there; nil: it runs, and whether its conditions are asked once more when it starts.
local function decide(q, id, due_at, now)
  q.planned = q.planned + 1
  local f = read_planned(q, id)
  local plan, _, part = plan_of(f.conditions)
  if part and f.created_at then
    postpone(q, id, now)
    return false
  end
  if not plan or not f.payload or plan.fifo and not is_key(f.key) then return halt(q, id, 'dead', 'malformed', f, due_at, now) end
  if DIGESTS.has(f.bound) and end_merged(q, id, now) then return true end   -- its item was claimed: no test takes it out
  local word, more = nil, nil
  if not string.find(f.bound or '', 'p', 1, true) then word, more = enter(q, id, plan, f, tonumber(due_at), now) end
  if not word then word, more = blocked_by(q, id, plan, f, now) end
  if word then return halt(q, id, word, more, f, due_at, now) end
  if not is_first_in_lines(q, id, plan, f.key) then return halt(q, id, 'line', now + 60000, f, due_at, now) end
  if not is_met(q.prefix, plan) then return turn_down(q, id, plan, f, now) end
  if plan.digest and not f.frozen then
    word, more = MERGE.join_or_close(q, id, plan, f, now)
    if word == 'open' then return false end
    if word then return halt(q, id, word, more, f, due_at, now) end
  elseif not complete_payload(q, id, plan, f) then
    return halt(q, id, 'dead', 'malformed', f, due_at, now)
  end
  return nil, plan.only_if ~= nil or plan.unless ~= nil or plan.cancel_on ~= nil or plan.digest ~= nil
end

-- task_rules: the rules that each task and stream entry keeps at every moment, and the names of those that are broken. A task
-- with conditions is entered wherever it will learn of what it waits for, and somebody ends its hold.
--
-- USES  keys, check, safe, hash, conditions, reminders, holds, links, pauses, index_rules, task_view

-- Whether the conditions of a held task know what it is held for; else nothing would release it.
function task_rules.is_held_for(v, plan, newer)
  local why = v.blocked or ''
  if newer or string.find(why, '^pause:.') then return true end
  if not plan then return false end
  if why == 'line' then return #links.lines_of(plan, v.key) > 0 end
  if why == 'digest' then return plan.digest ~= nil end
  return (why == 'confirm' and plan.hold or why == 'facts' and plan.wait_for or why == 'parents' and plan.after)
    and true or false
end

-- Whether a task is among those of its digest, and the mover will look at the digest.
local function is_digested(q, v)
  return v.into and safe.call('ZSCORE', q.digest_members .. v.into, v.id)
    and reminders.is_set(q.prefix, 'digest/' .. q.name .. '/' .. v.into)
end

local function hold_faults(q, v, plan, newer, now, broken)
  if not task_rules.is_held_for(v, plan, newer) then
    broken[#broken + 1] = 'unblocked'
    return
  end
  local what = string.match(v.blocked, '^pause:(.+)$')
  if v.score.held < holds.NO_END and not reminders.is_set(q.prefix, 'hold/' .. q.name, v.score.held) then
    broken[#broken + 1] = 'no_reminder'
  end
  if v.blocked == 'digest' and not is_digested(q, v) then broken[#broken + 1] = 'undigested' end
  if v.blocked == 'parents' and (tonumber(safe.call('HGET', q.parents .. v.id, ':left') or '') or 0) < 1 then
    broken[#broken + 1] = 'parents'
  elseif what then
    local till = pauses.till(q, what)
    if not safe.call('ZSCORE', q.stopped .. what, v.id) then broken[#broken + 1] = 'unstopped' end
    if till ~= 0 and not reminders.is_set(q.prefix, 'resume/' .. q.name .. '/' .. what, math.max(till or 0, now))
        and not reminders.is_set(q.prefix, pauses.reminder(q, what), math.max(till or 0, now)) then
      broken[#broken + 1] = 'never_resumed'
    end
  end
end

function task_rules.is_entered(bound) return string.find(bound or '', 'p', 1, true) ~= nil end

-- Whether a task was judged already; then it was entered where its conditions say. A pause holds it before that.
function task_rules.is_judged(state, held_for)
  return state == 'ready' or state == 'running' or state == 'held' and not string.find(held_for or '', '^pause:')
end

local function is_deaf(q, id, plan)
  for _, name in ipairs(conditions.facts(plan)) do
    if not safe.call('ZSCORE', q.prefix .. 'listeners:' .. name, q.name .. '/' .. id) then return true end
  end
  return false
end

local function condition_faults(q, v, now, broken)
  local plan, newer = nil, false
  if v.conditions and hash.LIVE[v.state] then plan, newer = conditions.known(v.conditions) end
  local score = v.state == 'held' and v.score.held
  if score and check.is_time(math.floor(score)) then hold_faults(q, v, plan, newer, now, broken) end
  if not plan then return end
  if newer then broken[#broken + 1] = 'newer' end
  if not task_rules.is_entered(v.bound) then
    if task_rules.is_judged(v.state, v.blocked) then broken[#broken + 1] = 'unbound' end
    return
  end
  if is_deaf(q, v.id, plan) then broken[#broken + 1] = 'deaf' end
  for _, name in ipairs(links.lines_of(plan, v.key)) do
    if not safe.call('ZSCORE', q.line .. name, v.id) then
      broken[#broken + 1] = 'out_of_line'
      break
    end
  end
end
local function running_faults(v, now, broken)
  local most = v.most or 1000
  if not v.tries or v.tries < 1 or v.tries > most then broken[#broken + 1] = 'attempts' end
  if not v.claim or v.claim ~= v.tries then broken[#broken + 1] = 'token' end
  if (v.score.running or 0) > now + task_view.LONGEST_LEASE then broken[#broken + 1] = 'lease' end
end

function task_rules.faults(q, v, now)
  local broken, home = {}, task_view.SET_OF[v.state]
  if v.kind ~= 'hash' then
    if v.kind == 'none' and v.places == 0 or v.places == 0 and v.aside then return broken end
    return {not v.valid and 'bad_id' or v.kind == 'none' and 'missing' or 'wrong_type'}
  end
  if not home then
    broken[1] = 'unknown_state'
  else
    local there = v.score[home]
    if home == 'ready' then there = v.named end
    if not there and not (v.state == 'scheduled' and v.aside) then broken[1] = 'unindexed' end
    if v.places > (v.score[home] and 1 or 0) then broken[#broken + 1] = 'misplaced' end
  end
  if v.expiring then broken[#broken + 1] = 'expiring' end
  if v.state == 'running' then
    running_faults(v, now, broken)
  elseif v.state == 'scheduled' or v.state == 'held' or v.state == 'ready' then
    if task_view.is_malformed(v, v.state) then
      broken[#broken + 1] = 'malformed'
    elseif v.tries > v.most then
      broken[#broken + 1] = 'attempts'
    end
    local score = v.state ~= 'ready' and v.score[home]
    if score and not check.is_time(math.floor(score)) then broken[#broken + 1] = 'bad_time' end
  elseif home and (v.score[home] or 0) > now + task_view.LONGEST_KEPT then
    broken[#broken + 1] = 'retention'
  end
  if index_rules.is_lacking(q, v) then broken[#broken + 1] = 'unfindable' end
  condition_faults(q, v, now, broken)
  return broken
end

-- The rules that a stream entry breaks, and what must stay the same for it to be the same fault.
function task_rules.entry_faults(q, name, id)
  local task = keys.is_id(id) and hash.read(q.task .. id, 'state', 'entry') or {}
  local broken = task[1] == 'ready' and task[2] == name and {} or {'stray_entry'}
  return broken, table.concat({task[1] or '', task[2] or '', name}, '|')
end

-- tied: the rules of a task with conditions: it is entered wherever it will be told of what it waits for, and somebody ends
-- its hold.

-- What the score of an agenda's item has to be, at most; any where nothing is said.
local function is_reminded(prefix, item, by)
  local at = tonumber(soft('ZSCORE', prefix .. 'agenda', item) or '')
  return at ~= nil and (not by or at <= by)
end

-- Until when a thing is paused, ms (0: until it is resumed); nil where it is not.
local function paused_till(q, what)
  local line = soft('HGET', q.paused, what)
  return line and tonumber(string.match(line, '^(%d+) ') or 0) or nil
end

-- Whether its plan knows what it is held for: else nobody lets it go.
local function is_held_for(v, plan)
  local why = v.blocked or ''
  if string.find(why, '^pause:.') then return true end
  if not plan then return false end
  if why == 'line' then return #lines_of(plan, v.key) > 0 end
  if why == 'digest' then return plan.digest ~= nil end
  return (why == 'confirm' and plan.hold or why == 'facts' and plan.wait_for or why == 'parents' and plan.after) and true or false
end

-- Whether it is among the tasks of its digest, and the mover looks at that.
local function is_digested(q, v)
  return v.into and soft('ZSCORE', q.digest_members .. v.into, v.id) and is_reminded(q.prefix, 'digest/' .. q.name .. '/' .. v.into)
end

local function hold_faults(q, v, plan, now, broken)
  if not is_held_for(v, plan) then
    broken[#broken + 1] = 'unblocked'
    return
  end
  local what = string.match(v.blocked, '^pause:(.+)$')
  if v.score.held < NO_END and not is_reminded(q.prefix, 'hold/' .. q.name, v.score.held) then
    broken[#broken + 1] = 'no_reminder'
  end
  if v.blocked == 'digest' and not is_digested(q, v) then broken[#broken + 1] = 'undigested' end
  if v.blocked == 'parents' and (tonumber(soft('HGET', q.parents .. v.id, ':left') or '') or 0) < 1 then
    broken[#broken + 1] = 'parents'
  elseif what then
    local till = paused_till(q, what)
    if not soft('ZSCORE', q.stopped .. what, v.id) then broken[#broken + 1] = 'unstopped' end
    if till ~= 0 and not is_reminded(q.prefix, 'resume/' .. q.name .. '/' .. what, math.max(till or 0, now)) then
      broken[#broken + 1] = 'never_resumed'
    end
  end
end

local function is_bound(bound) return string.find(bound or '', 'p', 1, true) ~= nil end

-- Whether it was judged already, which entered it where its plan says; a pause comes before that.
local function is_judged(state, blocked)
  return state == 'ready' or state == 'running' or state == 'held' and not string.find(blocked or '', '^pause:')
end

local function is_deaf(q, id, plan)
  for _, name in ipairs(facts_of(plan)) do
    if not soft('ZSCORE', q.prefix .. 'listeners:' .. name, q.name .. '/' .. id) then return true end
  end
  return false
end

local function tied_faults(q, v, now, broken)
  local plan = v.conditions and LIVE[v.state] and plan_of(v.conditions) or nil
  local score = v.state == 'held' and v.score.held
  if score and is_time(math.floor(score)) then hold_faults(q, v, plan, now, broken) end
  if not plan then return end
  if not is_bound(v.bound) then
    if is_judged(v.state, v.blocked) then broken[#broken + 1] = 'unbound' end
    return
  end
  if is_deaf(q, v.id, plan) then broken[#broken + 1] = 'deaf' end
  for _, name in ipairs(lines_of(plan, v.key)) do
    if not soft('ZSCORE', q.line .. name, v.id) then
      broken[#broken + 1] = 'out_of_line'
      break
    end
  end
end

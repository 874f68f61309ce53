-- target: which state a task shall have that breaks a rule.

-- The state that a task shall have: what its hash says; where it does not say or cannot be believed, what the one place
-- that has it says; else scheduled.
local function intended(v)
  local home = HOME[v.state]
  if not home or (not v.told and not v.score.due) then
    if v.places + (v.named and 1 or 0) ~= 1 then return 'scheduled' end
    if v.named then return 'ready' end
    if v.score.finished then
      return v.finished_at and (not v.payload and 'completed' or v.reason and 'cancelled') or 'scheduled'
    end
    return v.score.held and 'held' or v.score.running and 'running' or v.score.dead and 'dead' or 'scheduled'
  end
  if (home == 'finished' or home == 'dead') and not v.score[home] and not v.finished_at then return 'scheduled' end
  return v.state
end

-- Like intended, but a run that nobody can answer for and a hold without an end are scheduled anew.
local function target(v)
  local state = intended(v)
  if state == 'running' and not (v.claim and v.claim >= 1 and v.claim <= (v.most or 1000)) then return 'scheduled' end
  if state == 'held' and not (v.score.held and is_time(math.floor(v.score.held))) then return 'scheduled' end
  return state
end

-- pause: a schedule that makes no runs for a while.

local function suspend(q, s, now, reason, till)
  set_field(s, 'paused', string.sub(reason, 1, 200))
  set_field(s, 'paused_at', text(now))
  set_field(s, 'paused_until', till and text(till))
  save_schedule(s)
  look_again(s, till or NEVER)
  event(q, 'schedule_paused', s.id, 'reason', reason)
end

-- resumed: from when slots count again; those before are told of as missed.
local function carry_on(q, s, resumed)
  set_field(s, 'paused')
  set_field(s, 'paused_at')
  set_field(s, 'paused_until')
  set_field(s, 'resumed', text(resumed))
  event(q, 'schedule_resumed', s.id)
end

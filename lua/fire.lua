-- fire: make the tasks of slots that are due, if nobody did since, and say when each schedule is looked at next.
--
-- KEYS   due...       zset   {namespace}:due:<queue>, one per queue
-- ARGV   now          int    0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   decision...  words  for each schedule: number of its queue in KEYS, id, rev, slot (both as they were read), next slot,
--                            when that is due (ms; empty: its slot), missed, why, number of slots n, then n times slot, due.
--                            next slot: ms, every (the next one of a plain interval), = (unchanged), none (there are no more),
--                            malformed (pause it; why says what is wrong); ^<ms>:<one of these or nothing>: earlier definitions
--                            whose slots end by then are done with. It may end with ~<release of tzdata>/<local time of
--                            the last slot that was made or counted>, which is kept in the field `last`
-- REPLY  {word...}           tasks made or kept for later; or stale (somebody was faster) | early | paused | gone | later (the
--                            call took long enough without it): nothing was made. Of many slots some may be left: they are
--                            due again
-- FLAGS  none
-- USES   budget, clock, keys, check, stats, schedules, runs, fire, calendar_changes

local queues = keys.open_all(KEYS)
local now, prefix = clock.now(queues[1].prefix, ARGV[1]), queues[1].prefix
local answers, made, at = {}, {}, 2
while at <= #ARGV do
  budget.spend(1)
  local n, slots, left = check.whole(ARGV[at + 8] or '', 0, 1000) or 0, {}, nil
  local answer = #answers > 0 and budget.is_spent() and 'later' or nil
  for i = at + 9, answer and 0 or at + 8 + 2 * n, 2 do slots[#slots + 1] = {ARGV[i] or '', tonumber(ARGV[i + 1] or '')
    or now} end
  local q, s = queues[tonumber(ARGV[at]) or 0] or queues[1], schedules.read(prefix, ARGV[at + 1] or '')
  answer = answer or fire.refusal(q, s, ARGV[at + 1] or '', ARGV[at + 2], ARGV[at + 3], slots[n] and slots[n][2], now)
  if not answer and ARGV[at + 4] == 'malformed' then
    schedules.pause(q, s, now, 'malformed: ' .. (ARGV[at + 7] or ''))
    schedules.save(s)
  elseif not answer and runs.pause_failed(q, s, now) then
    schedules.save(s)
  elseif not answer then
    local missed = check.whole(ARGV[at + 6] or '', 0, 1e12) or 0
    calendar_changes.note_look(s, n + missed > 0, now)
    schedules.tell_slots(q, s, 'missed', missed, ARGV[at + 7], ARGV[at + 3])
    answer, left = fire.slots(q, s, slots, now)
    if left then
      fire.move_on(q, s, left[1], left[2], now)         -- a decision about those that are left follows at once
    else
      fire.move_on(q, s, ARGV[at + 4], tonumber(ARGV[at + 5] or ''), now)
    end
    made[q] = (made[q] or 0) + s.made
  end
  answers[#answers + 1] = tostring(answer or 'paused')
  at = at + 9 + 2 * n
end
for q, n in pairs(made) do stats.count_created(q, now, n) end
return answers

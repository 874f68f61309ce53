"""Bugs of what ties tasks to one another, which the simulation of tasks with conditions has to find.

Each with the first seed that finds it, so that the suite need not run all before it; none needs more than 120 seeds.
"""

from __future__ import annotations

from tests.simulation.bugs import Bug

_ITEM = "  digests.remove(q, name, id)\n"
_CARD = "  if redis.call('ZCARD'"
BUGS: tuple[tuple[int, Bug], ...] = (
    (0, Bug("promote does not look at cancel_on", "lib/conditions/blocked.lua",
            "if fact then return", "if false then return")),
    (5, Bug("an event does not tell who is held", "lib/conditions/notify.lua",
            "elseif state == 'held' then", "elseif false then")),
    (2, Bug("the line is not looked at", "lib/conditions/decide.lua",
            "not links.is_first_in_lines(q, id, plan, f.key)", "false")),
    (0, Bug("a failed parent counts as done", "lib/conditions/notify.lua", "local failed, after = state ~= 'completed'",
            "local failed, after = false")),
    (0, Bug("a pause does not hold what is ready", "lib/tasks/claim.lua",
            "q.stops ~= false and pauses.by(q, found[5], id, now)",
            "nil")),
    (0, Bug("a lock is not let go", "lib/conditions/links.lua", "unique.release ~= 'ttl' and", "false and")),
    (0, Bug("listeners stay", "lib/conditions/links.lua",
            "safe.call('ZREM', q.prefix .. 'listeners:' .. name, q.name .. '/' .. id)",
            "safe.call('EXISTS', q.prefix)")),
    (30, Bug("a child that was told by half is not looked at", "lib/conditions/notify.lua",
             "if known and known ~= '' and found[2] == 'parents' then", "if false then")),
    (118, Bug("a child that comes while others are told is left out", "lib/conditions/reminders.lua",
              "  safe.call('HDEL', prefix .. 'cursors', item)\nend", "end")),
    (2, Bug("the last does not wait for one of another mode", "lib/conditions/locks.lua",
            "if lives and not waits then", "if false then")),
    (37, Bug("one that was replaced while it ran does not count", "lib/conditions/locks.lua",
             "if holder and holder ~= id then return holder, 0, false, true end", "")),
    (2, Bug("other conditions leave what the old ones entered", "lib/conditions/decide.lua",
            "    links.leave(q, id, before, old.key, now)\n", "")),
    (5, Bug("other conditions keep the old parents", "lib/conditions/decide.lua",
            "  redis.call('UNLINK', q.parents .. id)\n", "")),
    (0, Bug("a family is made in part", "lib/tasks/intake.lua",
            "refs.together and not fresh and submission.refused_together(tasks) or {}", "{}")),
    (53, Bug("a rejected parent is none", "lib/conditions/links.lua",
             "known.failed, known.first = known.failed + 1,", "known.failed, known.first = known.failed,")),
    (10, Bug("a circle is not seen", "lib/conditions/circles.lua",
             "  return seen[itself] and 'circle' or nil,", "  return nil,")),
    (0, Bug("retention 0 forgets the children", "lib/tasks/endings.lua",
            "  if bound then keep = math.max(keep, endings.KEEP_LINKED) end\n", "")),
    (45, Bug("whoever completed and was removed is gone", "lib/tasks/endings.lua",
             "local word = state == 'completed' and state or 'gone'", "local word = 'gone'")),
    (0, Bug("children of a removed task are left", "lib/tasks/endings.lua",
            "  if string.find(bound, 'c', 1, true) then leave_children(q, id, state) end\n", "")),
    (1, Bug("a digest does not hand over", "lib/conditions/digests.lua",
            "if digests.first(q, name) == id then hand_over", "if false then hand_over")),
    (41, Bug("a claim ends the others of a digest", "lib/conditions/digests.lua",
             "  return found and not found[2] and hash.LIVE", "  return false and hash.LIVE")),
    (1, Bug("one that leaves its digest leaves its item", "lib/conditions/digests.lua", _ITEM + _CARD, _CARD)),
    (9, Bug("the others of a digest are not judged", "lib/conditions/merge.lua",
            "elseif not facts.is_met(q.prefix, plan) then", "elseif false then")),
    (0, Bug("reap uses up what had not begun", "reap.lua", "local counts = begun or", "local counts = true or")),
    (3, Bug("reap gives every attempt back", "reap.lua", "if counts then", "if false then")),
    (4, Bug("a return ends no row of crashes", "lib/tasks/settle.lua", "if run.crashes then", "if false then")),
)  # fmt: skip

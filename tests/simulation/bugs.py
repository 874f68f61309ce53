"""Bugs that the simulation has to find: one change of the Lua each, as somebody might make it by mistake."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.lua_builds import source


class Bug(NamedTuple):
    """One text of one file in place of another."""

    name: str
    file: str
    right: str
    wrong: str

    def changes(self) -> dict[str, str]:
        """The file with the bug in it; fails where the text is not there any more."""
        text = source(self.file)
        assert text.count(self.right) == 1, f"{self.file} has {text.count(self.right)} of {self.right!r}"
        return {self.file: text.replace(self.right, self.wrong)}


_ENTRY = "  local entry = streams.add(q, id, priority, asked)\n"
_ZREM = "      redis.call('ZREM', own.running, id)\n"
_SETTLE = "      answers[n] = settle.apply(own, id, now, outcome, args[at + 4], args[at + 5], args[at + 6])\n"
BUGS = (
    Bug(
        "settle takes any token", "lib/tasks/settle_batch.lua",
        "if found[2] ~= args[at + 2] then", "if not found[2] then",
    ),
    Bug(
        "promote leaves due before the task is ready", "lib/tasks/promote.lua",
        _ENTRY + "  redis.call('HSET'", "  redis.call('ZREM', q.due, id)\n" + _ENTRY + "  redis.call('HSET'",
    ),
    Bug("claim does not count the attempt", "lib/tasks/claim.lua", "id, attempt + 1,", "id, math.max(attempt, 1),"),
    Bug("reap does not look at the lease", "reap.lua", "q.running, '-inf', now,", "q.running, '-inf', '+inf',"),
    Bug(
        "a repeated claim starts more", "lib/tasks/claim_batch.lua",
        "queues, now, reply) then return reply end", "queues, now, reply) and false then return reply end",
    ),
    Bug(
        "claim does not look at the start-by", "lib/tasks/claim.lua",
        "elseif expires <= now then", "elseif false then",
    ),
    Bug("reap gives every attempt back", "reap.lua", "if counts then", "if false then"),
    Bug("reap delays a first crash", "reap.lua", "if crashed > 1 then", "if crashed > 0 then"),
    Bug("claim once begun is begun for ever", "reap.lua", "(begun == token or", "(token and begun or"),
    Bug("cancel forgets the due set", "lib/tasks/cancel.lua", "    redis.call('ZREM', q.due, id)\n    if", "    if"),
    Bug("move leaves no note", "lib/tasks/moving.lua", "  write_note(q, to, id, found, now)\n", ""),
    Bug(
        "a note does not give way", "lib/tasks/moving.lua",
        "why ~= 'missing' and not (there and hash.moved_to(there.state, there.reason))", "why ~= 'missing'",
    ),
    Bug(
        "a task that comes back stays among the finished", "lib/tasks/moving.lua",
        "then safe.call('ZREM', to.finished, id) end", "then safe.call('ZREM', to.dead, 'nobody') end",
    ),
    Bug("settle leaves running before the next place", "lib/tasks/settle_batch.lua", _SETTLE + _ZREM, _ZREM + _SETTLE),
)  # fmt: skip

"""Mutants that no test can notice, and why: ``<file> <rule> <what was changed>``."""

from __future__ import annotations

_ONE_STATE = "a task has one state, so at most one of the two does anything"
_FIRST_PASSES = "the next write is a ZREM, which passes on a full server and opens the way for the rest as well"
_EMPTY = "a limit of 0 answers nothing either way"
_READ_AGAIN = "a claim reads the stream itself, so an entry that is acknowledged and stays is found again and dropped"
_NO_TIME = "a score of 1 is no time, and its id was set aside before"
_LAST_MS = "a key whose TTL is 0 is gone within that millisecond"
_UNTOLD = "an enqueue that stops there was not acknowledged, and its repeat writes both"
_MEMORY = "it bounds the memory of the server's Lua, and answers are the same"
EQUIVALENT: dict[str, str] = {
    "lib/core/keys.lua compare >= 1000 then Q": _MEMORY,
    "lib/core/keys.lua negate opened >= 1000": _MEMORY,
    "cancel.lua swap redis.call('ZREM', q.due, id) | if state == 'held' then redis.": "both leave old places",
    "cancel.lua swap if state == 'held' then redis. | if state == 'ready' then drop_": _ONE_STATE,
    "lib/conditions/listeners.lua swap redis.call('ZREM', q.due, unpa | redis.call('ZREM', q.prefix ..":
        "both leave old places",
    "reschedule.lua swap if state == 'held' then redis. | if state == 'ready' then drop_": _ONE_STATE,
    "drop.lua drop memory.drain(q)": _FIRST_PASSES,
    "leave.lua drop memory.drain(queues[1])":
        "its writes are XGROUP DELCONSUMER and UNLINK, which pass on a full server",
    "promote.lua compare limit > 0 then": _EMPTY,
    "revive.lua swap redis.call('HDEL', key, 'token | redis.call('ZREM', q.dead, id)": "both come after the new place",
    "drop.lua swap redis.call('ZREM', q.due, id) | redis.call('UNLINK', q.task ..":
        "a stop between leaves an id in due without a hash: it is set aside, and the task was to go",
    "ingest.lua compare > 0 and redis": _EMPTY,
    "reap.lua compare > 0 and redis": _EMPTY,
    "reap.lua swap redis.call('HDEL', q.task .. i | outcomes.add_attempt(q, id, no": "both come before the new place",
    "revive.lua swap redis.call('HSET', key, 'state | redis.call('HDEL', key, 'token":
        "both come after the new place and before the old one is left",
    "sweep.lua swap sweep_set(q, q.finished, most_ | sweep_set(q, q.dead, most_dead": "the two sets share no task",
    "sweep.lua swap sweep_set(q, q.dead, most_dead | sweep_consumers(q)": "consumers and tasks share nothing",
    "update.lua swap if #set > 0 then redis.call('H | if #drop > 0 then redis.call('": "no field is in both",
    "answer.lua swap redis.call('HSET', answer, 'st | redis.call('PEXPIRE', answer, ":
        "an answer that stops there was not acknowledged, and its repeat writes both",
    "claim.lua swap redis.call('XTRIM', stream, 'M | redis.call('XDEL', stream, at)": "each removes other entries",
    "claim.lua swap redis.call('XDEL', stream, at) | redis.call('XACK', stream, 'wo":
        _READ_AGAIN,
    "lib/tasks/promote.lua compare 1 or not st": _NO_TIME,
    "lib/tasks/promote.lua compare 1 and now o": _NO_TIME,
    "lib/tasks/promote.lua swap redis.call('XDEL', stream, hel | redis.call('XACK', stream, 'wo": _READ_AGAIN,
    "lib/core/retry.lua limit math.min(#id, 40)":
        "an id has at most 128 letters, and the rest of them changes chance only",
    "lib/tasks/settle.lua limit math.min(run.unhandled, 4)": "from the fourth on the outer limit of 60 s decides",
    "lib/core/stats.lua swap redis.call('HINCRBY', q.stats, | by_minute(q, now, field, n)": "they share no field",
    "lib/tasks/streams.lua swap redis.pcall('XDEL', stream, at | redis.pcall('XACK', stream, 'w": _READ_AGAIN,
    "lib/repair/task_rules.lua compare >= 0 then brok": _LAST_MS,
    "lib/repair/task_view.lua compare .. id) >= 0": _LAST_MS,
    "lib/tasks/outcomes.lua compare attempt > HISTORY the": "no attempt has the number 0, so no line of one is there",
    "lib/repair/repair_task.lua swap endings.quarantine(q, id, now, | redis.call('HSET', key, 'state":
        "a repair that stops there leaves the id in due with a score that is no time, which the next look finds again",
    "lib/tasks/enqueue.lua swap if not placed then redis.call( | redis.call('HSET', key, 'creat": _UNTOLD,
    "lib/tasks/promote.lua swap if not keys.is_id(id) then end | if not check.is_time(math.floo":
        "an id that is none with a score that is none is set aside for either reason",
}  # fmt: skip
# these are no equivalents, and still no test notices them
UNNOTICED: dict[str, str] = {
    "sweep.lua compare consumer.idle > 3600000 the":
        "a consumer is idle in real time, and no test meets the very millisecond at which its hour is over",
}  # fmt: skip

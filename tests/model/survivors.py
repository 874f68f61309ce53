"""Mutants that no test can notice, and why: ``<file> <rule> <what was changed>``."""

from __future__ import annotations

_ONE_STATE = "a task has one state, so at most one of the two does anything"
_FIRST_PASSES = "the next write is a ZREM, which passes on a full server and opens the way for the rest as well"
_EMPTY = "a limit of 0 answers nothing either way"
_UNTOLD = "an enqueue that stops there was not acknowledged, and its repeat writes both"
EQUIVALENT: dict[str, str] = {
    "cancel.lua swap redis.call('ZREM', q.due, id) | if state == 'held' then redis.": "both leave old places",
    "cancel.lua swap if state == 'held' then redis. | if state == 'ready' then drop_": _ONE_STATE,
    "reschedule.lua swap if state == 'held' then redis. | if state == 'ready' then drop_": _ONE_STATE,
    "drop.lua drop drain(q)": _FIRST_PASSES,
    "leave.lua drop drain(queues[1])": "its writes are XGROUP DELCONSUMER and UNLINK, which pass on a full server",
    "promote.lua compare limit > 0 then": _EMPTY,
    "revive.lua swap redis.call('HDEL', key, 'token | redis.call('ZREM', q.dead, id)": "both come after the new place",
    "drop.lua swap redis.call('ZREM', q.due, id) | redis.call('UNLINK', q.task ..":
        "a stop between leaves an id in due without a hash: it is set aside, and the task was to go",
    "ingest.lua compare > 0 and redis": _EMPTY,
    "reap.lua compare > 0 and redis": _EMPTY,
    "reap.lua swap redis.call('HDEL', q.task .. i | remember(q, id, now, run.attem": "both come before the new place",
    "revive.lua swap redis.call('HSET', key, 'state | redis.call('HDEL', key, 'token":
        "both come after the new place and before the old one is left",
    "sweep.lua swap sweep_set(q, q.finished, most_ | sweep_set(q, q.dead, most_dead": "the two sets share no task",
    "sweep.lua swap sweep_set(q, q.dead, most_dead | sweep_consumers(q)": "consumers and tasks share nothing",
    "update.lua swap if #set > 0 then redis.call('H | if #drop > 0 then redis.call(": "no field is in both",
    "lib/submit.lua swap redis.call('ZADD', q.due, task | redis.call('HSET', key, 'creat": _UNTOLD,
    "lib/judge.lua swap if not is_id(id) then quaranti | if not is_time(math.floor(scor":
        "an id that is none with a score that is none is set aside for either reason",
}  # fmt: skip
# these are no equivalents, and still no test notices them
UNNOTICED: dict[str, str] = {
    "sweep.lua drop redis.call('XGROUP', 'DELCONSUMER', stream, 'workers', consu":
        "no test waits the hour of real time that a consumer has to be idle",
}  # fmt: skip

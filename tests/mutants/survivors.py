"""Mutants that no test can notice, and why: ``<file> <rule> <what was changed>``."""

from __future__ import annotations

_FIRST_PASSES = "the next write is a ZREM, which passes on a full server and opens the way for the rest as well"
_EMPTY = "a limit of 0 answers nothing either way"
_READ_AGAIN = "a claim reads the stream itself, so an entry that is acknowledged and stays is found again and dropped"
_NO_TIME = "a score of 1 is no time, and its id was set aside before"
_LAST_MS = "a key whose TTL is 0 is gone within that millisecond"
_UNTOLD = "an enqueue that stops there was not acknowledged, and its repeat writes both"
_MEMORY = "it bounds the memory of the server's Lua, and answers are the same"
_READ = "it bounds what is read at once; no more of it is looked at"
_EACH_FIFTH = "then the budget is asked after each fifth plain task, and both four and five divide it"
_READ_LATER = "all fields are read and judged after that, which answers the same"
_LONG_WAY = "then the call goes the long way, which answers the same"
EQUIVALENT: dict[str, str] = {
    "paused.lua limit math.min(most, 1000)": "it is a hint of how much HSCAN looks at",
    "reap.lua compare or limit <= 0": _EMPTY,
    "lib/conditions/conditions.lua compare or #text > LONGEST_KNO": _MEMORY,
    "lib/conditions/conditions.lua compare if plans_known >= MOST_KNOWN": _MEMORY,
    "lib/core/json.lua compare < 300 then re": "the longer look at a text of 300 bytes says the same",
    "lib/schedules/runs.lua limit math.min(due, now)": "a run is made once its time has come",
    "lib/core/clock.lua negate n > 1000": _MEMORY,
    "lib/core/clock.lua compare n > 1000 then": _MEMORY,
    "lib/core/clock.lua negate n > 0 and n % 1 == 0": _MEMORY,
    "lib/core/clock.lua compare and n % 1": _MEMORY,
    "lib/core/keys.lua negate EVALSHA": "both make the same keys, at another time",
    "lib/core/caps.lua compare < NONE and re": "no set has more than the cap that is none",
    "lib/core/stats.lua compare late_ms <= up_to then": "then the bucket is looked up, and it is the same",
    "ingest.lua compare > 0 or q.is_s": "where nothing was taken, nothing is there",
    "promote.lua compare > 0 and budge": "a queue in which nothing was due has nothing due in its second turn",
    "promote.lua compare > 0 then limi": _EMPTY,
    "lib/tasks/plain_tasks.lua compare + 9] <= fields.LONG": _LONG_WAY,
    "lib/tasks/plain_tasks.lua compare 1 + 1000 *": _LONG_WAY,
    "lib/tasks/plain_tasks.lua compare if bytes > submission.": _LONG_WAY,
    "lib/tasks/plain_tasks.lua compare > 1 or bytes": _LONG_WAY,
    "lib/tasks/plain_tasks.lua compare or bytes > fields.LONG": _LONG_WAY,
    "lib/tasks/plain_due.lua compare >= 1e12 and ma": _LONG_WAY,
    "lib/tasks/plain_due.lua compare math.max(first, last) < 4e12": _LONG_WAY,
    "lib/tasks/plain_due.lua compare from < total do": "one is odd, the other even",
    "lib/tasks/plain_due.lua limit math.min(from + 2 * AT_ONCE, total + 1)": "the end of the page ends it either way",
    "lib/tasks/plain_due.lua compare <= to or budge": "then it is tried once more, and ends there",
    "lib/tasks/sweep.lua compare 0 then at =": "what has a score of 0 was removed by the sweep that plans here",
    "lib/tasks/sweep.lua compare > now then re": "the time that it is compared with has half a millisecond",
    "lib/tasks/settle.lua swap if run.crashes then redis.call | if run.asked and outcome ~= 'r": "no field is in both",
    "lib/tasks/settle.lua swap redis.call('HDEL', key, 'paylo | if bound then redis.call('HDEL":
        "each removes other fields",
    "lib/tasks/submission.lua negate first[task.hash] ~= i":
        "then each task is looked up by itself, which is slower and answers the same",
    "lib/tasks/lost_entries.lua compare >= 0 and since": "then it looks once more within that ms",
    "lib/tasks/promote.lua limit 'LIMIT', 0, 1": "only the first that is found is looked at",
    "lib/tasks/claim_start.lua swap redis.call('XTRIM', stream, 'M | redis.call('XDEL', stream, at)":
        "each removes other entries",
    "promote.lua limit 'LIMIT', 0, LATEST": _READ,
    "lib/tasks/promote.lua limit 'LIMIT', '0', clock.text(most)": _READ,
    "lib/tasks/promote.lua compare < most and wo": _EMPTY,
    "lib/tasks/claim.lua negate count == 7": _LONG_WAY,
    "lib/tasks/claim_start.lua compare #n <= 15 then": "both ways remove an entry of 15 digits",
    "lib/tasks/removal.lua compare in_time < wanted and": "a page that is full has no room for others",
    "lib/tasks/claim_batch.lua limit math.min(want - started, looks, A_PAGE)": _READ,
    "lib/tasks/claim_batch.lua limit math.min(tonumber(n), 1000)": "a call starts no more than 300 tasks anyway",
    "lib/tasks/claim_batch.lua compare 4 and not a": _EACH_FIFTH,
    "lib/tasks/promote.lua compare unspent >= 4 then": _EACH_FIFTH,
    "lib/tasks/removal.lua compare >= 4 or bound": _EACH_FIFTH,
    "lib/tasks/claim_batch.lua compare > 0 then erro": "a walk over nothing does nothing",
    "lib/tasks/claim_batch.lua compare > 0 then clai": "a start of nothing writes nothing and answers nothing",
    "lib/core/keys.lua compare >= 1000 then Q": _MEMORY,
    "lib/core/keys.lua negate opened >= 1000": _MEMORY,
    "lib/conditions/listeners.lua swap redis.call('ZREM', q.due, unpa | redis.call('ZREM', q.prefix ..":
        "both leave old places",
    "drop.lua drop memory.drain(q)": _FIRST_PASSES,
    "leave.lua drop memory.drain(queues[1])":
        "its writes are XGROUP DELCONSUMER and UNLINK, which pass on a full server",
    "update.lua swap if #set > 0 then redis.call('H | if #drop > 0 then redis.call('": "no field is in both",
    "answer.lua swap redis.call('HSET', answer, 'st | redis.call('PEXPIRE', answer, ":
        "an answer that stops there was not acknowledged, and its repeat writes both",
    "lib/tasks/promote.lua compare 1 or not st": _NO_TIME,
    "lib/tasks/promote.lua compare 1 and now o": _NO_TIME,
    "lib/tasks/lost_entries.lua swap redis.call('XDEL', stream, hel | redis.call('XACK', stream, 'wo": _READ_AGAIN,
    "lib/core/retry.lua limit math.min(#id, 40)":
        "an id has at most 128 letters, and the rest of them changes chance only",
    "lib/tasks/settle.lua limit math.min(run.unhandled, 4)": "from the fourth on the outer limit of 60 s decides",
    "lib/tasks/streams.lua swap redis.pcall('XDEL', stream, at | redis.pcall('XACK', stream, 'w": _READ_AGAIN,
    "lib/repair/task_view.lua compare .. id) >= 0": _LAST_MS,
    "lib/repair/link_rules.lua compare 0 and not h": _LAST_MS,
    "lib/tasks/settle_batch.lua drop redis.call('HSET', q.task .. others[i].id, 'state', 'complet":
        "a task fails by its own fault only after that was written",
    "lib/tasks/outcomes.lua compare attempt > HISTORY the": "no attempt has the number 0, so no line of one is there",
    "lib/repair/repair_task.lua swap endings.quarantine(q, id, now, | redis.call('HSET', key, 'state":
        "a repair that stops there leaves the id in due with a score that is no time, which the next look finds again",
    "due_schedules.lua limit 'LIMIT', 0, 1": "only the first that is found is told",
    "lib/repair/repair_links.lua compare > now and til": "a time that is now is as good as 0: both are due at once",
    "lib/tasks/enqueue.lua swap if not placed then redis.call( | redis.call('HSET', key, 'creat": _UNTOLD,
    "about.lua compare shown >= MOST_TOLD o": "events are read on, and none of them is told",
    "defaults.lua compare < 2 then retu": "the number of words is odd",
    "find.lua compare > 1 and after": "nothing is told or spent before the first, which is looked at either way",
    "lib/tasks/forgotten.lua compare <= 0 and (tonu": _LONG_WAY,
    "lib/tasks/forgotten.lua compare > 0 then redi": "where that is reached, at least one is too old or too much",
    "lib/tasks/search.lua negate not (f.type or f.states or f.tags[2])": _READ_LATER,
    "lib/tasks/search.lua negate found.err": _READ_LATER,
    "lib/tasks/search.lua compare n < least then": "of two keys of one size, either is the smallest",
    "lib/tasks/search.lua compare f.times.due.from > 0 then":
        "what is due before 0 is not chosen, whether it is looked at or not",
    "lib/tasks/versions.lua compare y and -1 or": "the two numbers are not the same there",
    "lib/tasks/versions.lua compare > 0) then new": "two spellings of one version are one, and either is told",
}  # fmt: skip
# these are no equivalents, and still no test notices them
UNNOTICED: dict[str, str] = {
    "lib/tasks/lost_entries.lua compare and since < LOOK_EVERY":
        "no test meets the very ms of real time at which the half second is over",
    "lib/tasks/streams.lua compare consumer.idle > 3600000 the":
        "a consumer is idle in real time, and no test meets the very millisecond at which its hour is over",
}  # fmt: skip

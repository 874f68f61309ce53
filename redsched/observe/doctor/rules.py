"""What each rule that ``lua/lib/repair`` names means to people: what is broken, what it does, what mends it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Rule(msgspec.Struct, frozen=True):
    """One rule. ``mend``: what --repair does; where it does nothing, ``by_hand`` says what to do."""

    what: str
    why: str
    mend: str = ""
    by_hand: str = ""
    level: Literal["WARN", "FAIL"] = "FAIL"


RULES: dict[str, Rule] = {
    "unindexed": Rule(
        "the task is not in the place that its state names", "it would wait for ever, or never be removed",
        "puts it there; a scheduled task becomes due now, a running one has 30 s to answer",
    ),
    "misplaced": Rule(
        "the task is in a place that its state does not name", "it could run twice, or be taken back while it runs",
        "takes it out of there",
    ),
    "unknown_state": Rule(
        "the hash names a state that there is not", "no script will touch it",
        "believes the one place that has it, else schedules it for now",
    ),
    "malformed": Rule(
        "a waiting task has fields that cannot be used", "it will never start",
        "makes it a dead letter that can be updated and revived",
    ),
    "attempts": Rule(
        "attempt is outside 0..max_attempts", "it would be dead without a last run",
        "takes the number from the claim, or leaves it one more run",
    ),
    "token": Rule(
        "a running task has no token of its attempt", "its worker's answer would be refused",
        "schedules it for now",
    ),
    "bad_time": Rule(
        "the score is no time in ms", "a client wrote seconds or microseconds; nobody knows when it is due",
        "sets it aside in the quarantine, as a mover would",
    ),
    "lease": Rule("the lease ends later than any lease can", "a dead worker's task would wait for that", "cuts it"),
    "retention": Rule("a finished task would be kept for over a year", "memory", "keeps it as long as is usual"),
    "expiring": Rule("the hash of a task has a TTL", "Redis would delete a task that is still named", "takes it away"),
    "missing": Rule("an id in a set has no hash", "there is nothing to run", "sets the id aside in the quarantine"),
    "wrong_type": Rule("the key of a task is no hash", "it cannot be read", "sets the id aside in the quarantine"),
    "bad_id": Rule("a member of a set is no id", "no key can be made of it", "sets it aside in the quarantine"),
    "stray_entry": Rule(
        "a stream entry is not the one that a ready task names", "a worker would read it for nothing", "removes it",
    ),
    "dangling_pending": Rule("a pending entry is not in its stream", "it is looked at for nothing", "acknowledges it"),
    "key_type": Rule(
        "a key has another type than the contract says", "scripts that need it fail",
        "moves it aside to {namespace}:aside:<name>; what it held is put back from the hashes",
    ),
    "used_up": Rule(
        "the last id of a stream is the highest that there is", "it takes no more entries",
        "moves it aside to {namespace}:aside:<name>; ready tasks get other entries",
    ),
    "key_ttl": Rule("a lasting key has a TTL", "Redis would delete every id in it", "takes it away"),
    "no_ttl": Rule(
        "the counts of a minute have no TTL", "memory: they would stay for ever", "removes them", level="WARN",
    ),
    "no_group": Rule("a ready stream has no group 'workers'", "a waiting worker is not woken", "makes it"),
    "foreign_group": Rule(
        "a ready stream has another group", "nobody reads it, or somebody takes what is not theirs",
        by_hand="XGROUP DESTROY <stream> <group>", level="WARN",
    ),
    "no_schedule": Rule(
        "the set of schedules names one that has no hash", "there is nothing to fire", "takes it from the set",
    ),
    "unscheduled": Rule(
        "a schedule is not in the set of schedules", "no mover looks at it, so it never fires",
        "puts it in, to be looked at now",
    ),
    "never_looked_at": Rule(
        "a schedule that is neither paused nor over is looked at never again", "it never fires",
        "has it looked at now",
    ),
    "unblocked": Rule(
        "a held task does not say what it waits for, or its conditions do not", "nobody would let it go",
        "asks its conditions again: it is held for what they say, or due",
    ),
    "no_reminder": Rule(
        "the agenda does not name the end of a hold", "the hold would last for ever", "puts it there",
    ),
    "parents": Rule(
        "what a task says of those that it comes after is not so", "it would wait for one that has told already",
        "counts them again, and has it told of those that have ended or are gone",
    ),
    "circle": Rule(
        "a task comes after another that comes after it", "both would wait for ever",
        "makes it dead; those that come after it end as they ask for",
    ),
    "unstopped": Rule(
        "a task that a pause set aside is not among those of that pause", "it would not go on when that is resumed",
        "puts it there",
    ),
    "never_resumed": Rule(
        "a pause that set a task aside is over, or ends, and the agenda does not name it", "the task would stay aside",
        "puts it there",
    ),
    "unbound": Rule(
        "a task with conditions does not say that it is entered where they ask for it",
        "it would stay there for ever",
        "enters it again, and says so",
    ),
    "deaf": Rule(
        "a task does not listen for all facts of its conditions", "an event would neither wake nor cancel it",
        "enters it again and asks its conditions",
    ),
    "out_of_line": Rule(
        "a task is not in the line of its key", "others of its key could start before it", "puts it last",
    ),
    "stale_line": Rule(
        "the first of a line is no live task of that line", "it holds up those behind it",
        "takes it out; the next goes on",
    ),
    "stale_digest": Rule(
        "the open digest of a key is that of no task that waits", "nothing would close it", "removes it",
    ),
    "undigested": Rule(
        "a task is held for a digest that does not know it, or that nobody looks at", "it would wait for ever",
        "has it judged anew: it joins again",
    ),
    "stale_unique": Rule(
        "a lock without a TTL names no live task that has it", "memory, and a name that means nothing", "removes it",
    ),
    "orphan": Rule(
        "a key belongs to a task that is gone, or to a digest that nobody looks at",
        "memory; its children, or the tasks of the digest, would wait for ever; a later task could take its outcome "
        "for its own",
        "removes it, has the children told first, or has the digest looked at",
    ),
    "stale_listener": Rule(
        "the listeners of a fact name a task that has ended or does not ask for it", "memory",
        "takes it out of there", level="WARN",
    ),
    "no_item": Rule(
        "a task is in a digest that has no item of it", "the digest would run without its payload",
        "puts its payload among the items",
    ),
    "untold": Rule(
        "a task comes after one that has ended or is gone, and nobody tells it", "it would wait for ever",
        "has it told",
    ),
    "newer": Rule(
        "its conditions name what only a newer redsched knows", "no process of this version will let it run",
        by_hand="start a newer redsched, or redsched task update ID --conditions JSON", level="WARN",
    ),
    "stray_item": Rule("the agenda has an item of no known kind", "it is looked at for nothing", "removes it"),
    "stale_cursor": Rule(
        "a cursor belongs to nothing on the agenda", "the next of its name would begin in the middle", "removes it",
    ),
    "unfindable": Rule(
        "a task is not in the key of one of its tags, of its key or of its subject", "a search does not find it",
        "puts it there", level="WARN",
    ),
    "stale_index": Rule(
        "the key of a tag, of a key or of a subject names a task that has it not, or is gone", "memory",
        "takes it out of there", level="WARN",
    ),
    "unlisted": Rule(
        "the queue is not in the set of queues", "movers learn of it only while it has due tasks", "adds it",
        level="WARN",
    ),
    "epoch": Rule(
        "the namespace has no epoch", "its data was flushed, or redsched install never ran", "installs it",
        level="WARN",
    ),
}  # fmt: skip

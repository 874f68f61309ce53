"""The contract at the top of each Lua file against what the code and the protocol really do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import redsched
from redsched.model.rule import Rule
from redsched.model.schedule import Schedule
from redsched.model.task import Task
from redsched.model.template import TaskTemplate
from redsched.schedule.catch_up import Decision
from redsched.wire import protocol, scripts
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Bell, Settlement, Started
from redsched.wire.keys import CellKeys, queue_keys
from redsched.wire.schedules import Firing, Stored

LUA = Path(redsched.__file__).parents[1] / "lua"
CELL = Cell("rs")
Q, R = queue_keys(CELL, "q"), queue_keys(CELL, "r")
STARTED = Started("q", "a", 1, 0, "t", b"{}", None, None, None, None, 5, None, "1.ab")
END = Settlement("q", "a", "1.ab", "complete")
RULE = Rule(id="a", on="paid", task=TaskTemplate(type="t", queue="q"))
FIRING = Firing(Stored("s", {"queue": b"q"}), Decision(following="none"))
NO_CALL = {"version"}  # sent as a plain command


def schedule(n: int) -> Schedule:
    """One with so many fields of its task."""
    return Schedule(id="a", cron="0 9 * * *", task=TaskTemplate(type="t", queue="q", key="k" if n > 1 else None))


# verb -> calls that repeat each of its repeating arguments n times
CALLS: dict[str, Any] = {
    "enqueue": lambda n: protocol.enqueue(CELL, [Task(type="t", queue="q")] * n, max_payload=99),
    "promote": lambda n: protocol.promote([Q, R][:n], mover="m"),
    "claim": lambda n: protocol.claim([Q], consumer="w", count=1, lease_ms=1, bells=[Bell("q", "normal/1-1", "a")] * n),
    "settle": lambda n: protocol.settle(CELL, [END] * n),
    "settle_and_claim": lambda n: protocol.settle_and_claim(
        CELL, [END] * n, protocol.claim([Q], consumer="w", count=1, lease_ms=1, bells=[Bell("q", "normal/1-1", "a")])
    ),
    "renew": lambda n: protocol.renew(CELL, [STARTED] * n, lease_ms=1_000),
    "reap": lambda n: protocol.reap([Q, R][:n]),
    "cancel": lambda n: protocol.cancel(Q, ["a"] * n),
    "reschedule": lambda n: protocol.reschedule(Q, ["a"] * n, due=0),
    "update": lambda n: protocol.update(Q, ["a"] * n, {"key": "k"}, max_payload=99),
    "progress": lambda n: protocol.progress(Q, "a", "1.ab", 1),
    "revive": lambda n: protocol.revive(Q, ["a"] * n),
    "show": lambda n: protocol.show(Q, ["a"] * n),
    "list": lambda n: protocol.list_tasks(Q, state="scheduled"),
    "stats": lambda n: protocol.stats([Q, R][:n]),
    "sweep": lambda n: protocol.sweep([Q, R][:n]),
    "leave": lambda n: protocol.leave([Q, R][:n], "w"),
    "drop": lambda n: protocol.drop(Q, ["a"] * n),
    "requeue": lambda n: protocol.requeue(Q, ["a"] * n),
    "limit": lambda n: protocol.limit(Q, dict.fromkeys(("most_finished", "most_dead")[:n], 5)),
    "ingest": lambda n: protocol.ingest([Q, R][:n]),
    "inspect": lambda n: protocol.inspect(Q, "due", names=[b"a"] * n),
    "repair": lambda n: protocol.repair(Q, [("task", b"a")] * n),
    "reserve": lambda n: protocol.reserve(CellKeys(CELL), "key", "body"),
    "answer": lambda n: protocol.answer(CellKeys(CELL), "key", "body", status=200, ttl_ms=5),
    "put_schedule": lambda n: protocol.put_schedule(CELL, schedule(n), max_payload=99),
    "due_schedules": lambda n: protocol.due_schedules(CellKeys(CELL)),
    "fire": lambda n: protocol.fire(CELL, [FIRING] * n),
    "trigger": lambda n: protocol.trigger(CELL, "a", "q", slots=[1] * n),
    "pause_schedule": lambda n: protocol.pause_schedule(CellKeys(CELL), "a", reason="", until=5),
    "resume_schedule": lambda n: protocol.resume_schedule(CellKeys(CELL), "a"),
    "replan_schedules": lambda n: protocol.replan_schedules(CellKeys(CELL), changes=1, release="2026c"),
    "drop_schedule": lambda n: protocol.drop_schedule(CellKeys(CELL), ["a"] * n),
    "show_schedules": lambda n: protocol.show_schedules(CellKeys(CELL), ["a"] * n),
    "put_calendar": lambda n: protocol.put_calendar(CellKeys(CELL), "a", ["2027-12-25"]),
    "calendars": lambda n: protocol.calendars(CellKeys(CELL)),
    "emit": lambda n: protocol.emit(CellKeys(CELL), "paid", "order-1", data=None, ttl=None, event_id="a"),
    "attend": lambda n: protocol.attend(CellKeys(CELL)),
    "confirm": lambda n: protocol.confirm(Q, ["a"] * n, "1.ab", action="confirm"),
    "follow": lambda n: protocol.follow(Q, "a", ["b"] * n),
    "kin": lambda n: protocol.kin(Q, "a", "parents"),
    "pause": lambda n: protocol.pause(Q, "queue", reason="", until=None),
    "resume": lambda n: protocol.resume(Q, "queue"),
    "paused": lambda n: protocol.paused([Q, R][:n]),
    "put_rule": lambda n: protocol.put_rule(CellKeys(CELL), RULE, max_payload=99),
    "drop_rule": lambda n: protocol.drop_rule(CellKeys(CELL), "a"),
    "rules": lambda n: protocol.rules(CellKeys(CELL), ["a"] * n),
    "explain": lambda n: protocol.explain(Q, "a"),
}
# how many words one more decision, task, claim, bell, field or id adds to ARGV
WORDS_EACH = {
    "enqueue": {"task...": 8}, "claim": {"bell...": 3}, "settle": {"claim...": 7},
    "settle_and_claim": {"bell...": 3, "claim...": 7}, "renew": {"claim...": 3},
    "update": {"field...": 2}, "limit": {"field...": 2}, "repair": {"fault...": 2},
    "put_schedule": {"field...": 2}, "fire": {"decision...": 9},
}  # fmt: skip
ALWAYS = {"put_schedule": 2}  # words of the first that repeats, beside those: a type and a payload
# what a full server still carries out; enqueue is not among them, so that producers are refused there
DRAINING = {"promote", "claim", "settle", "settle_and_claim", "renew", "reap", "cancel", "reschedule", "sweep",
            "leave", "drop", "ingest",
            "drop_schedule", "replan_schedules", "attend", "confirm", "drop_rule"}  # fmt: skip
READING = {"show", "list", "stats", "version", "inspect", "due_schedules", "show_schedules", "calendars", "kin",
           "paused", "rules", "explain"}  # fmt: skip


def code(verb: str) -> list[str]:
    """The lines of a verb's file after its header."""
    lines = (LUA / f"{verb}.lua").read_text().splitlines()
    return lines[next(number for number, line in enumerate(lines) if not line.startswith("--")) :]


def comment(verb: str) -> str:
    """The header's text."""
    lines = (LUA / f"{verb}.lua").read_text().splitlines()
    return "\n".join(lines[: len(lines) - len(code(verb))])


def fixed(args: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments before the first that repeats."""
    return tuple(arg for arg in args if not arg.endswith("..."))


@pytest.mark.parametrize("path", sorted(LUA.rglob("*.lua")), ids=lambda path: path.name)
def test_a_lua_file_says_what_it_is_for(path: Path) -> None:
    lines = path.read_text().splitlines()

    assert lines[0].startswith(f"-- {path.stem}: ")


def test_the_contract_names_every_verb() -> None:
    table = (LUA / "README.md").read_text().split("\n## Verbs\n")[1].split("\n### ")[0]

    assert set(re.findall(r"`([a-z_]+)`", table)) >= set(scripts.verbs())


@pytest.mark.parametrize("verb", sorted(set(scripts.verbs()) - NO_CALL))
def test_the_protocol_sends_what_the_header_says(verb: str) -> None:
    assert verb in CALLS, "a new verb needs a call in this test"
    header, one, two = scripts.header(verb), CALLS[verb](1), CALLS[verb](2)
    assert one.verb == verb
    repeating = [arg for arg in header.args if arg.endswith("...")]
    each = {arg: WORDS_EACH.get(verb, {}).get(arg, 1) for arg in repeating}

    assert [key == Q.due for key in one.keys] == [name.startswith("due") for name in header.keys]
    assert len(two.keys) == 1 or header.keys == ("due...",)
    assert len(one.args) == len(fixed(header.args)) + sum(each.values()) + ALWAYS.get(verb, 0)
    last = each[repeating[-1]] if repeating else 0
    assert len(two.args) - len(one.args) == last


@pytest.mark.parametrize("verb", sorted(set(scripts.verbs()) - NO_CALL))
def test_the_words_that_the_protocol_sends_are_in_the_order_of_the_header(verb: str) -> None:
    plain = {
        "now": 0,
        "consumer": "w",
        "n": 1,
        "lease_ms": (1, 1_000),
        "limit": (20, 50, 100, 500),
        "mover": "m",
        "reason": "",
        "when": 0,
        "id": "a",
        "token": "1.ab",
        "place": ("due", "task"),
        "cursor": ("", b""),
        "type": "",
        "state": "",
        "most_finished": 100_000,
        "most_dead": 10_000,
    }
    args = CALLS[verb](1).args

    for name, word in zip(fixed(scripts.header(verb).args), args, strict=False):
        if name in plain:
            expected = plain[name]
            assert word in expected if isinstance(expected, tuple) else word == expected, f"{name} is {word!r}"


@pytest.mark.parametrize("verb", scripts.verbs())
def test_the_first_lines_bind_every_name_and_no_later_line_takes_one_by_its_number(verb: str) -> None:
    lines = code(verb)[1:]
    first = "\n".join(lines[: lines.index("")] if "" in lines else lines)
    later = "\n".join(lines).removeprefix(first)
    names = fixed(scripts.header(verb).args)

    numbers = {int(number) for number in re.findall(r"ARGV\[(\d+)\]", first)}
    assert numbers == set(range(1, len(names) + 1)), f"{names} against {numbers}"
    assert not re.search(r"(KEYS|ARGV)\[\d+\]", later)
    bound = {"due...": "keys.open_all(KEYS)", "due": "keys.open(KEYS[1])"}
    assert all(bound.get(key, "KEYS[1]") in first for key in scripts.header(verb).keys)


@pytest.mark.parametrize("verb", scripts.verbs())
def test_flags_say_which_verbs_a_full_server_still_carries_out(verb: str) -> None:
    flags = scripts.header(verb).flags
    expected = ("allow-oom",) if verb in DRAINING else ("no-writes",) if verb in READING else ()

    assert flags == expected
    assert bool(re.search(r"^ *memory\.drain\(", "\n".join(code(verb)), re.MULTILINE)) == (verb in DRAINING)


@pytest.mark.parametrize("verb", scripts.verbs())
def test_every_reply_word_is_in_the_header(verb: str) -> None:
    """The words that the verb's own code answers; those of its parts are covered by its tests."""
    answered = re.findall(r"(?:return|answer =|answers\[.*?\] =) '([a-z]+)'", "\n".join(code(verb)))

    for word in answered:
        assert re.search(rf"\b{word}\b", comment(verb).partition("REPLY")[2]), f"{word} is no reply"


def test_both_builds_hold_every_verb_and_know_which_one_they_are() -> None:
    library = scripts.library()
    assert library.startswith(f"#!lua name={scripts.LIBRARY}\nlocal EVALSHA, BUILD, DIGEST = false, ")
    for verb in scripts.verbs():
        assert f"function_name = '{scripts.PREFIX}{verb}'" in library
        assert scripts.script(verb).startswith("local EVALSHA, BUILD, DIGEST = true, ")
        assert not scripts.script(verb).startswith("#!"), "a shebang would be refused by some servers"


def test_the_text_of_an_error_is_a_constant() -> None:
    """What follows RS_ in an error never holds what a caller sent: it may be told to anybody."""
    for path in LUA.rglob("*.lua"):
        for line in path.read_text().splitlines():
            if "error_reply" in line or "error({" in line:
                assert re.search(r"'RS_[A-Z]+ ", line), f"{path.name}: {line}"
                assert not re.search(r"\.\. (id|value|ARGV|word|name|q\.name)\b", line), f"{path.name}: {line}"


def test_a_call_says_whether_it_may_be_repeated() -> None:
    calls: dict[str, Call[Any]] = {verb: CALLS[verb](1) for verb in scripts.verbs() if verb in CALLS}

    assert {verb for verb, call in calls.items() if not call.repeatable} <= {"revive", "reserve", "trigger"}

"""The header of each Lua file: whole, as the code below it is, and what the protocol really sends."""

from __future__ import annotations

import re

import pytest

from redsched.wire import lua_header, scripts
from tests.support.calls import CALLS, Q

TYPES = ("int", "string", "words")
FLAGS = {"no-writes", "allow-oom", "allow-stale", "no-cluster"}
NO_CALL = {"version"}  # sent as a plain command
# how many words one more decision, task, claim, bell, field or id adds to ARGV
WORDS_EACH = {
    "enqueue": {"task...": 8}, "enqueue_run": {"task...": 8}, "claim": {"bell...": 3}, "settle": {"claim...": 7},
    "settle_and_claim": {"bell...": 3, "claim...": 7}, "renew": {"claim...": 3},
    "update": {"field...": 2}, "limit": {"field...": 2}, "repair": {"fault...": 2},
    "put_schedule": {"field...": 2}, "about": {"named...": 2}, "find": {"filter...": 2},
    "put_types": {"type...": 4}, "defaults": {"field...": 2},
    "fire": {"decision...": 9},
    "shift": {"task...": 2}, "operate": {"field...": 2},
}  # fmt: skip
ALWAYS = {"put_schedule": 2}  # words of the first that repeats, beside those: a type and a payload
# what a full server still carries out; enqueue is not among them, so that producers are refused there
DRAINING = {"promote", "claim", "settle", "settle_and_claim", "renew", "once", "reap", "cancel", "reschedule", "shift",
            "sweep",
            "leave", "drop", "ingest",
            "drop_schedule", "keep_schedules", "replan_schedules", "attend", "confirm", "drop_rule"}  # fmt: skip
READING = {"show", "list", "stats", "timeline", "version", "inspect", "due_schedules", "show_schedules", "calendars",
           "kin", "paused", "rules", "explain", "find", "about", "types"}  # fmt: skip


def code(verb: str) -> str:
    """What comes after a verb's header."""
    return lua_header.split(scripts.text(f"{verb}.lua"))[1]


@pytest.mark.parametrize("file", scripts.files())
def test_a_lua_file_says_what_it_is_for_and_what_it_uses(file: str) -> None:
    header = lua_header.read(scripts.text(file))

    assert f"/{file}".endswith(f"/{header.name}.lua")
    assert header.summary
    assert re.search(r"^-- USES ", header.comment, re.MULTILINE)


@pytest.mark.parametrize("verb", scripts.verbs())
def test_a_header_has_every_section_in_order_and_each_word_its_type(verb: str) -> None:
    header = scripts.header(verb)
    lines = [line.split() for line in header.promise if not line.startswith("--  ")]
    sections = [section for _, section, *_ in lines]

    assert list(dict.fromkeys(sections)) == [*(("KEYS",) if header.keys else ()), *lua_header.SECTIONS[1:-1]]
    assert [line for line in lines if line[1] == "ARGV" and line[2] != "none" and line[3] not in TYPES] == []
    assert header.reply
    assert set(header.flags) <= FLAGS
    assert header.args == (*header.fixed_args, *header.repeating_args)


def test_the_contract_names_every_verb() -> None:
    table = scripts.text("README.md").split("\n## Verbs\n")[1].split("\n### ")[0]

    assert set(re.findall(r"`([a-z_]+)`", table)) >= set(scripts.verbs())


@pytest.mark.parametrize("verb", sorted(set(scripts.verbs()) - NO_CALL))
def test_the_protocol_sends_what_the_header_says(verb: str) -> None:
    assert verb in CALLS, "a new verb needs a call in this test"
    header, one, two = scripts.header(verb), CALLS[verb](1), CALLS[verb](2)
    assert one.verb == verb
    each = {arg: WORDS_EACH.get(verb, {}).get(arg, 1) for arg in header.repeating_args}

    assert [key == Q.due for key in one.keys] == [name.startswith("due") for name in header.keys]
    assert len(two.keys) == len(header.keys) or header.keys == ("due...",)
    assert len(one.args) == len(header.fixed_args) + sum(each.values()) + ALWAYS.get(verb, 0)
    assert len(two.args) - len(one.args) == ([*each.values()] or [0])[-1]


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
        "step": "charge",
        "place": ("due", "task"),
        "cursor": ("", b""),
        "type": "",
        "state": "",
        "most_finished": 100_000,
        "most_dead": 10_000,
    }
    args = CALLS[verb](1).args

    for name, word in zip(scripts.header(verb).fixed_args, args, strict=False):
        if name in plain:
            expected = plain[name]
            assert word in expected if isinstance(expected, tuple) else word == expected, f"{name} is {word!r}"


@pytest.mark.parametrize("verb", scripts.verbs())
def test_the_first_lines_bind_every_name_and_no_later_line_takes_one_by_its_number(verb: str) -> None:
    lines = code(verb).splitlines()[1:]
    first = "\n".join(lines[: lines.index("")] if "" in lines else lines)
    later = "\n".join(lines).removeprefix(first)
    names = scripts.header(verb).fixed_args

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
    assert bool(re.search(r"^ *memory\.drain\(", code(verb), re.MULTILINE)) == (verb in DRAINING)


@pytest.mark.parametrize("verb", scripts.verbs())
def test_every_reply_word_is_in_the_header(verb: str) -> None:
    """The words that the verb's own code answers; those of its parts are covered by its tests."""
    answered = re.findall(r"(?:return|answer =|answers\[.*?\] =) '([a-z]+)'", code(verb))

    for word in answered:
        assert re.search(rf"\b{word}\b", scripts.header(verb).comment.partition("REPLY")[2]), f"{word} is no reply"


def test_the_text_of_an_error_is_a_constant() -> None:
    """What follows RS_ in an error never holds what a caller sent: it may be told to anybody."""
    for file in scripts.files():
        for line in scripts.text(file).splitlines():
            if "error_reply" in line or "error({" in line:
                assert re.search(r"'RS_[A-Z]+ ", line), f"{file}: {line}"
                assert not re.search(r"\.\. (id|value|ARGV|word|name|q\.name)\b", line), f"{file}: {line}"

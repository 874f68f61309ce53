"""The Lua tree builds, in both forms, and each verb's header says what the verb takes."""

from __future__ import annotations

import re
from pathlib import Path

import lupa.lua51
import pytest

from redsched.model.task import Task
from redsched.wire import protocol, scripts
from redsched.wire.cells import Cell
from redsched.wire.claims import Settlement, Started
from redsched.wire.keys import queue_keys

LUA = Path(__file__).parents[2] / "lua"
FLAGS = {"no-writes", "allow-oom", "allow-stale", "no-cluster"}
CELL = Cell("rs")
QUEUES = [queue_keys(CELL, "a"), queue_keys(CELL, "b")]
STARTED = Started("a", "t", 1, 0, "x", b"{}", None, None, None, None, 5, None, "1.f")
CALLS = {
    call.verb: call
    for call in (
        protocol.enqueue(CELL, [Task(type="x", id="t")], max_payload=100),
        protocol.promote(QUEUES, mover="m"),
        protocol.reap(QUEUES),
        protocol.claim(QUEUES, consumer="c", count=2, lease_ms=1_000),
        protocol.settle(CELL, [Settlement("a", "t", "1.f", "complete")]),
        protocol.renew(CELL, [STARTED], lease_ms=1_000),
        protocol.cancel(QUEUES[0], ["t"]),
        protocol.reschedule(QUEUES[0], ["t"], delay=1),
        protocol.revive(QUEUES[0], ["t"]),
        protocol.update(QUEUES[0], ["t"], {"tags": ["a"]}, max_payload=100),
        protocol.progress(QUEUES[0], "t", "1.f", 1),
        protocol.show(QUEUES[0], ["t"]),
        protocol.list_tasks(QUEUES[0], state="ready"),
        protocol.stats(QUEUES),
        protocol.sweep(QUEUES),
        protocol.leave(QUEUES, "c"),
    )
}


@pytest.mark.parametrize("verb", scripts.verbs())
def test_a_verb_is_lua_that_compiles_as_a_script_of_its_own(verb: str) -> None:
    lupa.lua51.LuaRuntime().compile(scripts.script(verb))

    assert re.fullmatch(r"[0-9a-f]{40}", scripts.sha1(verb))


def test_the_library_is_lua_that_compiles_and_registers_every_verb() -> None:
    text = scripts.library()
    first, rest = text.split("\n", 1)
    lupa.lua51.LuaRuntime().compile(rest)

    assert first == "#!lua name=redsched1"
    assert sorted(re.findall(r"function_name = '(\w+)'", text)) == [f"rs1_{verb}" for verb in scripts.verbs()]


@pytest.mark.parametrize("verb", scripts.verbs())
def test_a_header_says_everything_there_is_to_know(verb: str) -> None:
    header = scripts.header(verb)
    lines = (LUA / f"{verb}.lua").read_text(encoding="utf-8").splitlines()

    assert lines[0].startswith(f"-- {verb}: ")
    assert header.summary and header.reply
    assert set(header.flags) <= FLAGS
    assert len(lines) <= 80


@pytest.mark.parametrize("verb", scripts.verbs())
def test_no_key_or_argument_is_named_by_number_once_the_names_are_bound(verb: str) -> None:
    lines = (LUA / f"{verb}.lua").read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if not line.startswith("--")]
    body = code[next(at for at, line in enumerate(code) if line.strip() and not line.startswith("local")) :]

    assert not [line for line in body if re.search(r"KEYS\[\d+\]", line)]


@pytest.mark.parametrize("verb", CALLS)
def test_a_call_has_the_keys_and_arguments_of_the_header(verb: str) -> None:
    header, call = scripts.header(verb), CALLS[verb]

    assert len(header.keys) == 1 and header.keys[0] in ("due", "due...")
    assert all(key.startswith("{rs}:due:") for key in call.keys)
    assert len(call.keys) == 1 or header.keys == ("due...",)
    fixed = [name for name in header.args if not name.endswith("...")]
    if len(fixed) == len(header.args):
        assert len(call.args) == len(fixed)
    else:
        assert len(call.args) >= len(fixed)


def test_a_verb_that_is_none_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        scripts.header("no_such_verb")


def test_the_digest_follows_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = scripts.digest()
    sources = scripts._source

    scripts.digest.cache_clear()
    monkeypatch.setattr(scripts, "_source", lambda name: sources(name) + ("\n" if name == "claim.lua" else ""))
    after = scripts.digest()
    scripts.digest.cache_clear()

    assert re.fullmatch(r"[0-9a-f]{16}", before) and before != after
    monkeypatch.undo()
    assert scripts.digest() == before

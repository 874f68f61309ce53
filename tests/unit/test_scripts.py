"""The Lua tree builds, in both forms; tests/contract/test_headers.py has the headers."""

from __future__ import annotations

import re

import lupa.lua51
import pytest

from redsched.wire import scripts


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


def test_both_builds_hold_every_verb_and_know_which_one_they_are() -> None:
    library = scripts.library()
    assert library.startswith(f"#!lua name={scripts.LIBRARY}\nlocal EVALSHA, BUILD, DIGEST = false, ")
    for verb in scripts.verbs():
        assert f"function_name = '{scripts.PREFIX}{verb}'" in library
        assert scripts.script(verb).startswith("local EVALSHA, BUILD, DIGEST = true, ")
        assert not scripts.script(verb).startswith("#!"), "a shebang would be refused by some servers"


def test_a_library_finds_the_globals_in_its_first_call_and_keeps_them() -> None:
    lua = lupa.lua51.LuaRuntime()
    lua.execute(
        "verbs = {}; redis = {register_function = function(made) verbs[made.function_name] = made.callback end}"
    )
    lua.execute(scripts.library().partition("\n")[2])
    refused = lua.execute(
        "local pcall, enqueue = pcall, verbs.rs1_enqueue\n"
        "return function() local _, problem = pcall(enqueue, {'no key'}, {'0'}) return problem.err end"
    )
    first = refused()

    for name in scripts.GLOBALS:
        lua.globals()[name] = None

    assert first == refused() == "RS_KEYS each key must be {namespace}:due:<queue>"


def test_a_verb_that_is_none_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        scripts.header("no_such_verb")


def test_the_digest_follows_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = scripts.digest()
    sources = scripts.text

    scripts.digest.cache_clear()
    monkeypatch.setattr(scripts, "text", lambda name: sources(name) + ("\n" if name == "claim.lua" else ""))
    after = scripts.digest()
    scripts.digest.cache_clear()

    assert re.fullmatch(r"[0-9a-f]{16}", before) and before != after
    monkeypatch.undo()
    assert scripts.digest() == before

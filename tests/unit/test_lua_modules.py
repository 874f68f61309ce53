"""Each file of lua/lib is one module: every call shows its home, and USES names all homes.

No two modules need each other.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from redsched.wire import lua_header, scripts

LUA = Path(__file__).parents[2] / "lua"
FILES = {path.relative_to(LUA).as_posix(): path for path in sorted(LUA.rglob("*.lua"))}
MODULES = {path.stem: name for name, path in FILES.items() if name.startswith("lib/")}
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_SHARED = re.compile(r"(?<![\w.])([a-z_]+)\.([A-Za-z_]\w*)")


def code(name: str) -> str:
    """The text of a file without its comments, and with nothing in its strings."""
    return re.sub(r"--[^\n]*|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"", "''", FILES[name].read_text(encoding="utf-8"))


def used(name: str) -> tuple[str, ...]:
    """What the line USES of a file names."""
    return lua_header.read(scripts.text(name)).uses


def called(name: str) -> set[str]:
    """The modules that a file's code names, its own left out."""
    words = re.sub(r"(?<![\w.])\w+ = (?=[^=])", "", code(name))  # a field of a table may have any name
    return {*_NAME.findall(words)} & MODULES.keys() - ({FILES[name].stem} if name.startswith("lib/") else set())


def declared(name: str) -> set[str]:
    """The names of a file's locals and parameters."""
    text, names = code(name), set()
    for kind in (r"\blocal (?!function)([\w, ]+)", r"\bfor ([\w, ]+) (?:=|in)", r"\bfunction[ \w.]*\(([\w, ]*)"):
        names |= {word for words in re.findall(kind, text) for word in re.findall(r"\w+", words)}
    return names | {*re.findall(r"\blocal function (\w+)", text)}


def shared(module: str) -> set[str]:
    """What a module gives to others."""
    text, name = code(MODULES[module]), rf"{module}\.\w+"
    lines = re.findall(rf"^(?:function )?{name}(?:, {name})*(?=\(| =)", text, re.MULTILINE)
    return {word for line in lines for word in re.findall(rf"{module}\.(\w+)", line)}


@pytest.mark.parametrize("name", FILES)
def test_uses_names_the_modules_that_a_file_calls_and_no_other(name: str) -> None:
    assert set(used(name)) == called(name)
    assert len(set(used(name))) == len(used(name))


@pytest.mark.parametrize("name", FILES)
def test_no_local_bears_the_name_of_a_module(name: str) -> None:
    assert declared(name) & MODULES.keys() == set()


@pytest.mark.parametrize("module", MODULES)
def test_what_others_call_is_defined_where_its_name_says(module: str) -> None:
    named = {(home, word) for name in FILES for home, word in _SHARED.findall(code(name)) if home == module}

    assert {word for _, word in named} - shared(module) == set(), f"{module} has no such name"
    kept = re.findall(r"^local (?:function )?(\w+(?:, \w+)*)", code(MODULES[module]), re.MULTILINE)
    assert {name for names in kept for name in names.split(", ")} & shared(module) == set(), "private and shared"


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"agenda"}))  # attend looks the kind of an item up in it
def test_what_nobody_else_calls_is_kept_to_itself(module: str) -> None:
    outside = "\n".join(code(name) for name in FILES if name != MODULES[module])
    linker = {"check"} if module == scripts.ARGUMENTS else set()

    assert shared(module) - {word for home, word in _SHARED.findall(outside) if home == module} == linker


def test_each_module_is_linked_once_after_those_that_it_uses() -> None:
    order = scripts.linked(*scripts.verbs())

    assert sorted(order) == sorted(MODULES), "a module that no verb loads, or two of one name"
    assert len(MODULES) == len([name for name in FILES if name.startswith("lib/")])
    for at, module in enumerate(order):
        assert set(scripts.uses(module)) <= set(order[:at]), module


def test_modules_that_use_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"clock": ("keys",), "keys": ("clock",)}
    monkeypatch.setattr(scripts, "uses", lambda module: others.get(module, ()))
    monkeypatch.setattr(scripts, "_has_shape", lambda verb: False)

    with pytest.raises(ValueError, match="keys -> clock -> keys"):
        scripts.linked.__wrapped__("show", "enqueue")


def test_a_script_holds_the_modules_that_its_verb_reaches_and_no_other() -> None:
    for verb in scripts.verbs():
        loaded = scripts.linked(verb)
        room = [", ".join(f"{name} = false" for name in sorted(shared(module))) for module in loaded]
        tables = ", ".join(f"{{{names}}}" for names in room)
        assert not loaded or scripts.script(verb).splitlines()[1] == f"local {', '.join(loaded)} = {tables}", verb
        reached = set(scripts.header(verb).uses) | ({scripts.ARGUMENTS} if scripts.header(verb).keys else set())
        while more := {other for module in reached for other in scripts.uses(module)} - reached:
            reached |= more
        assert reached == set(loaded), verb


def test_the_contract_says_where_to_look_for_each_module() -> None:
    table = (LUA / "README.md").read_text(encoding="utf-8").partition("\n## Modules\n")[2].partition("| where")[2]
    rows = "\n".join(line for line in table.splitlines() if line.startswith("| "))

    assert sorted(re.findall(r"`(\w+)`", rows)) == sorted(MODULES)

"""tests/README.md and ARCHITECTURE.md: what they name exists, and each known failure mode has a row."""

from __future__ import annotations

import re
from pathlib import Path

from redsched.model.vocabulary import STATES

TESTS = Path(__file__).parents[1]
TEXT = (TESTS / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (F\d+) \|.*\| (.*) \|$", TEXT, re.MULTILINE)


def test_every_named_test_exists() -> None:
    lacking = []
    for file, name in re.findall(r"`((?:lua|contract|model|system|unit)/\w+\.py)::(\w+)`", TEXT):
        path = TESTS / file
        if not path.is_file() or f"def {name}(" not in path.read_text(encoding="utf-8"):
            lacking.append(f"{file}::{name}")
    lacking += [file for file in re.findall(r"`(campaign/\w+\.py)`", TEXT) if not (TESTS / file).is_file()]
    assert lacking == []


def test_every_known_failure_mode_has_a_row_in_order() -> None:
    assert [mode for mode, _ in ROWS] == [f"F{number}" for number in range(1, 76)]


def test_a_mode_without_a_test_says_what_it_comes_with() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| F")]
    assert [line for line in rows if line.endswith("| - |") and "comes with" not in line] == []


def test_the_places_for_figures_are_there_once() -> None:
    for name in ("campaign", "mutants"):
        assert TEXT.count(f"<!-- {name} -->") == TEXT.count(f"<!-- end of {name} -->") == 1


def test_every_test_of_the_coverage_table_exists() -> None:
    table = (TESTS.parent / "docs/reference/cron-libraries.md").read_text(encoding="utf-8")
    lacking, file = [], ""
    for named, name in re.findall(r"`(?:(test_\w+\.py))?(?:::)?(test_\w+)?`", table):
        file = named or file
        found = [path.read_text(encoding="utf-8") for path in TESTS.glob(f"*/{file}")]
        if not any(f"def {name}(" in text or not name for text in found):
            lacking.append(f"{file}::{name}")
    assert lacking == [] and len(re.findall("::", table)) > 30


def test_the_page_about_the_architecture_names_files_that_are_there() -> None:
    text = (TESTS.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|lua|md))`", text)) | set(re.findall(r"`(\w+\.lua)`", text))
    modules = set(re.findall(r"`((?:tasks|conditions)/\w+)`", text))

    places = ("", "redsched", "lua", "lua/lib", "lua/lib/conditions", "lua/lib/repair")
    missing = [
        name
        for name in named | {f"{module}.lua" for module in modules}
        if "count_type" not in name and not any((TESTS.parent / place / name).is_file() for place in places)
    ]
    assert not missing and len(named) > 25


def test_the_page_about_the_architecture_names_functions_and_classes_that_are_there() -> None:
    text = (TESTS.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+\w+\.py)` `(?:\w+\.)?(\w+)`", text)

    missing = [
        f"{file} {name}"
        for file, name in named
        if not re.search(rf"^ *(?:async )?(?:def|class) {name}\b", _source(file), re.MULTILINE)
    ]
    assert not missing and len(named) > 8


def _source(file: str) -> str:
    found = next(path for place in ("redsched", "") if (path := TESTS.parent / place / file).is_file())
    return found.read_text(encoding="utf-8")


def test_the_contract_says_what_its_words_mean() -> None:
    text = (TESTS.parent / "lua" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \|$", text.partition("\n## Words\n")[2].partition("\n## ")[0], re.MULTILINE
    )
    words = {word for row, _ in rows for word in row.split(", ")}

    verbs = {"promote", "claim", "settle", "renew", "reap", "cancel", "sweep", "requeue", "revive", "release", "fire"}
    outcomes = {"retry", "snooze", "return", "dead", "cancelled"}
    assert {*STATES, *verbs, *outcomes} - words == set()
    assert [word for word, meaning in rows[2:] if not re.match(r"[A-Z].*\.$", meaning)] == []

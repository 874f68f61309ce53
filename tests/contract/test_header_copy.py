"""What the verbs promised when ``headers.json`` was stored they promise still: a verb may be added, none may change.

The copy has the KEYS, ARGV, REPLY and FLAGS of each verb, and the texts of which errors and reasons are made.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

import redsched
from redsched.wire import scripts

LUA = Path(redsched.__file__).parents[1] / "lua"
COPY: dict[str, Any] = json.loads((Path(__file__).parent / "headers.json").read_text(encoding="utf-8"))


def promise(verb: str) -> list[str]:
    """The lines of a verb's header from its keys on, without USES, which is nobody's business but ours."""
    lines = scripts.contract(verb).splitlines()
    kept = itertools.takewhile(lambda line: not line.startswith("-- USES"), lines)
    return [*itertools.dropwhile(lambda line: not re.match(r"-- (KEYS|ARGV|REPLY) ", line), kept)]


@pytest.mark.parametrize("verb", COPY["verbs"])
def test_a_verb_takes_and_answers_what_it_always_did(verb: str) -> None:
    assert promise(verb) == COPY["verbs"][verb]
    assert f"function_name = 'rs1_{verb}'" in scripts.library()


def test_the_texts_of_errors_stay() -> None:
    code = [line for path in LUA.rglob("*.lua") for line in path.read_text().splitlines() if not line.startswith("--")]
    texts = {text for line in code for text in re.findall(r"'([^'\n]*)'", line)}

    assert set(COPY["errors"]) - texts == set()

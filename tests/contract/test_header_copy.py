"""What the verbs promised when ``headers.json`` was stored they promise still: a verb may be added, a
verb may take or answer more, and nothing else may change.

The copy has the KEYS, ARGV, REPLY and FLAGS of each verb, and the texts of which errors and reasons are made. What was
added to a verb since is in ``ADDED``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from redsched.wire import scripts

_MOVED = ["moved (to another queue) |"]
# by verb: the words of its header that came later
ADDED = {
    "about": ["; of the last 250 where the call takes long"],
    "cancel": _MOVED,
    "retag": ["; no tag may be in both", "moved (to another queue: nothing was written) |"],
    "move": ["(or was already)", "; a note of a task gives way", "(or moved to a third queue)"],
    "explain": [
        "· {workers, that wait for its entries, -1 where this caller may not ask} · "
        "{type_queue, the queue of its type, '' where nobody knows it}"
    ],
    "follow": ["moved to another queue,"],
    "confirm": ["requested (its time was over and it runs: its worker is asked to stop) |"],
    "reschedule": ["| expires (its start-by lies before that time: nothing was written)", *_MOVED],
    "revive": ["| expires (its start-by lies before that time: nothing was written)", *_MOVED],
    "requeue": ["| expires (its start-by lies before that time: it stays there)"],
    "shift": ["| expires (its start-by would lie in the past: nothing was written)", *_MOVED],
    "update": ["| expires (its new start-by lies before it is due: nothing was written)", *_MOVED],
    "sweep": [
        "ARGV forgotten int may be missing: 1000000; how many ids of a namespace that were removed are known "
        "for a day; 0: none"
    ],
    "pause": [
        "| all: every queue",
        "ARGV known string known: only if somebody has seen the queue; may be missing",
        "| unknown: nobody has seen the queue",
    ],
    "paused": ["(all: every queue)"],
    "resume": ["| all: every queue"],
    "put_calendar": [
        "ARGV now int may be missing; 0: the server's clock; a virtual clock's ms where the deployment allows it"
    ],
    "once": ["ARGV now int may be missing; 0: the server's clock; a virtual clock's ms where the deployment allows it"],
    "put_rule": ["(its type's, or default)"],
    "put_schedule": [
        "And owner, a name, with owner_version: whose it is from now on (lua/README.md); without, that stays",
        "with an owner also newer (a worker of a newer version of it lives) | other (it is another's, of which a "
        "worker lives);",
    ],
}
COPY: dict[str, Any] = json.loads((Path(__file__).parent / "headers.json").read_text(encoding="utf-8"))


def words(lines: Iterable[str]) -> list[str]:
    """What lines of a header say, wherever they are broken."""
    return [word for line in lines for word in line.removeprefix("--").split()]


@pytest.mark.parametrize("verb", COPY["verbs"])
def test_a_verb_takes_and_answers_what_it_always_did(verb: str) -> None:
    promise = " ".join(words(scripts.header(verb).promise))
    for added in ADDED.get(verb, []):
        assert added in promise
        promise = promise.replace(added, "", 1)
    assert re.findall(r"[^ ,;.]+", promise) == re.findall(r"[^ ,;.]+", " ".join(words(COPY["verbs"][verb])))
    assert f"function_name = 'rs1_{verb}'" in scripts.library()


def test_the_texts_of_errors_stay() -> None:
    texts = {text for file in scripts.files() for text in re.findall(r"'([^'\n]*)'", scripts.source(file))}

    assert set(COPY["errors"]) - texts == set()

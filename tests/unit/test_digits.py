"""Numbers are written with 0-9 alone: ``int`` and ``float`` take the digits of every script, and nobody means those."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import redsched
from redsched import App, InvalidTask
from redsched.cli.parse import retry_policy
from redsched.model.duration import duration_ms, instant_ms, is_digits
from redsched.model.task_types import VERSION

PACKAGE = Path(redsched.__file__).parent
ELSEWHERE = ("١", "२", "²", "１", "1²", "1٣")


@pytest.mark.parametrize("text", ELSEWHERE)
def test_digits_of_other_scripts_are_none(text: str) -> None:
    assert not is_digits(text)
    assert VERSION.fullmatch(f"1.{text}") is None
    with pytest.raises(InvalidTask, match=r"version: a text of .* is no version"):
        App(version=f"{text}.2")


def test_digits_are_those_of_ascii() -> None:
    assert is_digits("0123456789")
    assert not is_digits("")


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (duration_ms, "٥s"),
        (duration_ms, "٥"),
        (instant_ms, "2027-01-٣1T09:00:00Z"),
        (instant_ms, "2027-01-31T09:00:٣0.٣Z"),
        (instant_ms, "١٨٠١٣٨٦٠٠٠٠٠٠"),
        (retry_policy, "exponential:5s:٢"),
        (retry_policy, "exponential:5s:1_0"),
    ],
)
def test_a_number_in_other_digits_is_refused(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


def test_no_code_asks_for_digits_of_every_script() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name == "duration.py":
            continue
        for line in path.read_text().splitlines():
            assert not re.search(r"\.is(digit|decimal|numeric)\(", line), f"{path}: {line}: use is_digits"
            assert "\\d" not in line or "re.ASCII" in line, f"{path}: {line}: write [0-9]"

"""The shop of the tutorial: what the page shows is what the files have, its tests pass, and its types hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks
from tests.support.type_checkers import mypy, pyright

SHOP = ROOT / "examples" / "shop"
FILES = sorted(path.name for path in SHOP.glob("*.py"))
# what somebody may get wrong in api.py: each is refused by both type checkers
MISTAKES = [
    ("order=order.id, email=order.email)", "order=order.id)"),
    ("order=order.id, email=order.email)", "order=order.id, email=7)"),
    ("order=order.id, email=order.email)", "order=order.id, email=order.email, colour=1)"),
    ('delay="1h"', "delya='1h'"),
    ("total=order.total)", "total=str(order.total))"),
]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The files in a folder of their own, as in a project."""
    for name in FILES:
        shutil.copy(SHOP / name, tmp_path)
    return tmp_path


def test_the_tutorial_shows_the_files() -> None:
    shown = {block.file: block.text.partition("\n")[2] for block in blocks(ROOT / "docs" / "tutorial.md") if block.file}

    assert shown == {name: (SHOP / name).read_text(encoding="utf-8") for name in FILES}


def test_its_tests_pass(shop: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        command, cwd=shop, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )

    assert ended.returncode == 0 and " passed" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.parametrize("check", [mypy, pyright])
def test_its_types_hold_and_mistakes_in_them_are_found(check: Callable[[Path], list[str]], shop: Path) -> None:
    api = (shop / "api.py").read_text(encoding="utf-8")
    for number, (right, wrong) in enumerate(MISTAKES):
        assert api.count(right) == 1
        (shop / f"mistake_{number}.py").write_text(api.replace(right, wrong), encoding="utf-8")

    found = {Path(re.split(r":\d*:? ", line)[0]).name for line in check(shop)}

    assert found == {f"mistake_{number}.py" for number in range(len(MISTAKES))}

"""The tables of the campaign go between their markers, and what was not run again keeps its figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.campaign.report import LEDGER_MARKS, MARKS, write_tables
from tests.campaign.scenario import Result

TEXT = "\n".join(("# Tests", LEDGER_MARKS[0], "old ledger", LEDGER_MARKS[1], MARKS[0], "old table", MARKS[1], "end\n"))


def keep(folder: Path, **fields: object) -> None:
    result = Result(variant="valkey", seed=1, **fields)  # type: ignore[arg-type]
    (folder / f"{result.scenario}.json").write_bytes(msgspec.json.encode(result))


@pytest.mark.parametrize(
    ("scenario", "figures", "gone", "kept"),
    [
        ("conditions", {"judged": {"lost": 0, "keys left": 3}}, "old ledger", "old table"),
        ("network", {}, "old table", "old ledger"),
    ],
)
def test_a_run_of_one_part_replaces_its_own_table_only(
    tmp_path: Path, scenario: str, figures: dict[str, object], gone: str, kept: str
) -> None:
    target = tmp_path / "README.md"
    target.write_text(TEXT)
    keep(tmp_path, scenario=scenario, figures=figures, submitted=1_234)

    write_tables(tmp_path, target)

    text = target.read_text()
    assert (gone in text, kept in text, "1,234" in text, text.endswith("end\n")) == (False, True, True, True)


def test_a_broken_promise_stands_in_the_table(tmp_path: Path) -> None:
    target = tmp_path / "README.md"
    target.write_text(TEXT)
    keep(tmp_path, scenario="conditions", figures={"judged": {"lost": 2}}, problems=["LOST a", "LOST b"])

    write_tables(tmp_path, target)

    assert "| valkey | 0 | 0 | 0 | 0 | 0 | 2 | NO: 1 |" in target.read_text()

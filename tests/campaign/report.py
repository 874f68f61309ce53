"""The tables of the campaign, made from its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from redsched.torture.checker import quantile
from tests.campaign.scenario import Result

MARKS = ("<!-- campaign -->", "<!-- end of campaign -->")
LEDGER_MARKS = ("<!-- ledger -->", "<!-- end of ledger -->")  # of what an external ledger judged


def results_in(folder: Path) -> list[Result]:
    """Every checkpoint."""
    return [msgspec.json.decode(path.read_bytes(), type=Result) for path in sorted(folder.glob("*.json"))]


def may_lose(result: Result) -> bool:
    """Whether its fault is known to take acknowledged tasks away."""
    return result.scenario in ("failover", "sentinel") or (
        result.variant.endswith(("-everysec", "-flush")) and "disk" not in result.variant
    )


def tables(results: Sequence[Result]) -> str:
    """Both tables: faults that may lose nothing, and faults whose window of loss is measured."""
    strict = [result for result in results if not may_lose(result)]
    lines = _table(
        (
            "faults",
            "runs",
            "faults made",
            "submits acknowledged",
            "executions",
            "run again after a fault",
            "lost",
            "early",
            "accepted twice",
            "unexplained",
            "other",
            "recovery p50 / p99 (ms)",
            "kept",
        ),
        [*(_row(name, found) for name, found in _by_scenario(strict)), _row("**all**", strict)],
    )
    lines += ["", "Faults that may lose what was acknowledged, with the window of loss as it was measured:", ""]
    lines += _table(
        ("faults", "variant", "faults made", "submits acknowledged", "lost", "measured", "kept"),
        [
            (
                result.scenario,
                result.variant,
                f"{sum(result.faults.values()):,}",
                f"{result.submitted:,}",
                f"{result.lost_to_loss:,}",
                _figures(result),
                "yes" if result.ok else "NO",
            )
            for result in results
            if may_lose(result)
        ],
    )
    lines += ["", "What single scenarios measured besides:", ""]
    lines += [f"- {result.scenario} {result.variant}: {_figures(result)}" for result in strict if result.figures]
    return "\n".join(lines)


def _by_scenario(results: Iterable[Result]) -> list[tuple[str, list[Result]]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.scenario, []).append(result)
    return list(found.items())


def _row(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    recovered = [took for result in results for took in result.recovery_ms]
    left_out = sum(result.recoveries_left_out for result in results)
    p50, p99 = quantile(recovered, 0.5), quantile(recovered, 0.99)
    recovery = f"{p50:,.0f} / {p99:,.0f} of {len(recovered):,}, {left_out:,} left out" if recovered else "-"
    sums = (
        sum(getattr(result, field) for result in results)
        for field in ("submitted", "executions", "extra", "lost", "early", "doubled", "unexplained", "other")
    )
    made = sum(sum(result.faults.values()) for result in results)
    broken = sum(not result.ok for result in results)
    return (
        name,
        str(len(results)),
        f"{made:,}",
        *(f"{value:,}" for value in sums),
        recovery,
        "yes" if not broken else f"NO: {broken} of {len(results)}",
    )


def ledger_table(results: Sequence[Result]) -> str:
    """What the ledger of the campaign of conditions proves, by variant."""
    columns = list(results[0].figures["judged"])
    rows = []
    for name, found in [*_by_variant(results), ("**all**", results)]:
        sums = (sum(result.figures["judged"].get(column, 0) for result in found) for column in columns)
        counts = (
            sum(sum(result.faults.values()) for result in found),
            sum(result.submitted for result in found),
            sum(result.executions for result in found),
            sum(result.extra for result in found),
            sum(result.lost_to_loss for result in found),
            *sums,
        )
        broken = sum(not result.ok for result in found)
        rows.append((name, *(f"{count:,}" for count in counts), f"NO: {broken}" if broken else "yes"))
    head = (
        "variant",
        "faults made",
        "tasks",
        "executions",
        "run again after a lease",
        "taken by a failover",
        *columns,
        "kept",
    )
    return "\n".join(_table(head, rows))


def _by_variant(results: Iterable[Result]) -> list[tuple[str, list[Result]]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.variant, []).append(result)
    return list(found.items())


def _figures(result: Result) -> str:
    return ", ".join(f"{name} {value}" for name, value in result.figures.items()) or "-"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def write_tables(folder: Path, target: Path | None) -> None:
    """Print the tables, and put each between its markers of ``target``; one without results stays as it is there."""
    results = results_in(folder)
    judged = [result for result in results if "judged" in result.figures]
    others = [result for result in results if "judged" not in result.figures]
    for marks, found, table in ((MARKS, others, tables), (LEDGER_MARKS, judged, ledger_table)):
        if found:
            text = table(found)
            print(text)
            if target is not None:
                _put_between(target, marks, text)


def _put_between(target: Path, marks: tuple[str, str], text: str) -> None:
    begin, end = marks
    old = target.read_text(encoding="utf-8") if target.exists() else "# Tests\n"
    if begin not in old:
        old += f"\n## The campaign\n\n{begin}\n{end}\n"
    before, _, rest = old.partition(begin)
    target.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")

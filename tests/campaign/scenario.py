"""What a scenario is: a play on a stage with servers of its own, and the result that a checkpoint keeps."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from redsched.observe.doctor import examine
from redsched.settings import Settings
from redsched.torture.checker import Report, quantile
from redsched.torture.nemesis import Fault
from redsched.torture.run import plan_for, trouble, verdict
from redsched.torture.stage import Stage

Tell = Callable[[str], None]


class Result(msgspec.Struct, kw_only=True):
    """One finished segment."""

    scenario: str
    variant: str
    seed: int
    seconds: float = 0.0
    submitted: int = 0
    executions: int = 0
    extra: int = 0
    lost: int = 0
    lost_to_loss: int = 0
    lost_by_durability: dict[str, int] = {}
    loss_window_s: float = 0.0
    early: int = 0
    doubled: int = 0
    unexplained: int = 0
    other: int = 0
    faults: dict[str, int] = {}
    recovery_ms: list[float] = []
    recoveries_left_out: int = 0
    lease_ms: int = 0
    figures: dict[str, Any] = {}  # what only this scenario measures
    problems: list[str] = []  # empty: every promise was kept

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.problems

    def require(self, kept: bool, problem: str) -> None:
        """Note a problem unless ``kept``."""
        if not kept:
            self.problems.append(problem)

    def judge(self, report: Report) -> None:
        """Add what the checker found."""
        self.submitted += report.submitted
        self.executions += report.executions
        self.extra += report.extra
        self.lost_to_loss += report.lost_to_loss
        for durability, count in report.lost_by_durability.items():
            self.lost_by_durability[durability] = self.lost_by_durability.get(durability, 0) + count
        self.loss_window_s = round(max(self.loss_window_s, report.loss_window_s), 3)
        self.lost += report.count("LOST")
        self.early += report.count("EARLY")
        self.doubled += report.count("DOUBLE-ACK")
        self.unexplained += report.count("UNEXPLAINED")
        self.other += len(report.violations) - self.lost - self.early - self.doubled - self.unexplained
        self.recovery_ms += [round(took) for took in report.recovery_ms]
        self.recoveries_left_out += report.recoveries_left_out
        self.lease_ms = report.lease_ms
        for kind, count in report.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + count
        self.problems += [f"{v.rule} {v.id}: {v.story}" for v in report.violations[:50]]
        if not report.recovered_in_time:
            self.problems.append(f"recovery p99 {quantile(report.recovery_ms, 0.99):.0f} ms, lease {report.lease_ms}")


def play(
    result: Result,
    stack: ExitStack,
    url: str,
    folder: Path,
    seconds: float,
    *,
    faults: Sequence[Fault],
    control_url: str | None = None,
    pace: tuple[float, float] = (0.05, 0.4),
    rate: float = 60.0,
    lease_ms: int = 2_000,
    cast: dict[str, int] | None = None,
    tell: Tell = print,
    before_drain: Callable[[Stage], None] | None = None,
    urls: Mapping[str, str] | None = None,
    durability: tuple[str, ...] = (),
    known: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Stage:
    """A whole run of torture with these faults; the result gets what the checker found.

    ``urls``: the way to Redis of some roles; ``durability``: what producers ask for; ``known``: see ``verdict``.
    """
    history = folder / "history"
    history.mkdir(parents=True, exist_ok=True)
    plan = plan_for(Settings(redis_url=url), history, rate=rate, lease_ms=lease_ms)
    changed = msgspec.structs.replace(plan.settings, **settings)
    plan = msgspec.structs.replace(plan, settings=changed, durability=durability)
    stage = stack.enter_context(Stage(plan, control_url, cast))
    stage.urls.update(urls or {})
    stage.client.install()
    stage.start()
    trouble(stage, seconds, random.Random(result.seed), faults=faults, pace=pace, tell=tell)
    if before_drain is not None:
        before_drain(stage)
    drained = stage.drain()
    stage.audit()
    result.judge(verdict(stage, drained, **(known or {})))
    ill = examine(stage.client, pause=0.5).findings
    result.problems += [f"DOCTOR {found.rule} {found.kind} {found.name} of {found.queue}" for found in ill[:20]]
    return stage

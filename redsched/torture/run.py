"""One run: processes on a stage, faults for so long, then a drain, the final states, and the checker's verdict.

Everything happens in a namespace of its own, which is removed afterwards; the server itself is never touched.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from redsched.embedded import free_port
from redsched.model.errors import RedschedError
from redsched.settings import Settings
from redsched.torture import checker, history, nemesis
from redsched.torture.checker import Report, quantile
from redsched.torture.nemesis import Fault
from redsched.torture.plan import Plan
from redsched.torture.stage import DRAIN_S, Stage

QUEUES = ("q0", "q1", "q2", "q3")
PROGRESS_S = 5.0
Tell = Callable[[str], None]


def plan_for(settings: Settings, folder: Path, *, rate: float = 60.0, lease_ms: int = 2_000) -> Plan:
    """A plan in a namespace that nobody else uses."""
    settings = msgspec.structs.replace(
        settings,
        namespace=f"torture-{secrets.token_hex(4)}",
        queues=QUEUES,
        lease_ms=lease_ms,
        concurrency=32,
        prefetch=32,
        api_host="127.0.0.1",
        api_token="",
        shutdown_grace_ms=1_000,
        retry_for_ms=10_000,
        redis_timeout_ms=2_000,
        metrics_port=0,
    )
    return Plan(settings=settings, folder=folder, rate=rate, api_port=free_port())


def trouble(
    stage: Stage,
    seconds: float,
    chance: random.Random,
    *,
    faults: Sequence[Fault] = nemesis.FAULTS,
    pace: tuple[float, float] = (0.05, 0.4),
    tell: Tell = lambda line: None,
) -> int:
    """Faults for so long; how many there were."""
    began = time.monotonic()
    next_fault, next_word, count = began + 1.0, began + PROGRESS_S, 0
    while (now := time.monotonic()) < began + seconds:
        stage.tend()
        if now >= next_fault:
            nemesis.choose(faults, chance).strike(stage, chance)
            count += 1
            next_fault = time.monotonic() + chance.uniform(*pace)
        if now >= next_word:
            next_word = now + PROGRESS_S
            left = stage.left()
            waiting = "Redis does not answer" if left is None else f"{left} tasks to go"
            tell(f"{now - began:5.0f} s of {seconds:.0f}: {count} faults, {waiting}")
        time.sleep(0.01)
    return count


def verdict(stage: Stage, drained: bool, **known: Any) -> Report:
    """What the history of this stage proves; ``known`` of the faults that may lose, as ``checker.check`` takes it."""
    report = checker.check(history.read(stage.plan.folder), lease_ms=stage.plan.settings.lease_ms, **known)
    if not drained:
        report.violations.append(checker.Violation("STUCK", "", f"{stage.left()} tasks did not end within {DRAIN_S} s"))
    if not report.submitted:
        report.violations.append(checker.Violation("VACUOUS", "", "nothing was submitted, so nothing was proven"))
    for name in stage.crashes:
        report.violations.append(checker.Violation("CRASH", name, "ended although nobody ended it"))
    return report


def torture(settings: Settings, *, minutes: float, seed: int, tell: Tell, folder: Path | None = None) -> Report:
    """A whole run against the Redis of ``settings``. Keeps the history only where something was violated, or where a
    ``folder`` is given for it.

    Raises:
        StoreError: the server cannot be used.
    """
    kept = folder or Path(tempfile.mkdtemp(prefix="redsched-torture-"))
    kept.mkdir(parents=True, exist_ok=True)
    plan = plan_for(settings, kept)
    with Stage(plan) as stage:
        stage.client.ping()
        stage.client.install()
        try:
            stage.start()
            trouble(stage, minutes * 60, random.Random(seed), tell=tell)
            tell("draining")
            drained = stage.drain()
            stage.audit()
            report = verdict(stage, drained)
        finally:
            with contextlib.suppress(RedschedError):
                for child in list(stage.children):
                    os.kill(child.pid, signal.SIGKILL)
                stage.clean()
    if report.ok and folder is None:
        shutil.rmtree(kept, ignore_errors=True)
    elif not report.ok:
        tell(f"history kept in {kept}; run again with --seed {seed}")
    return report


def table(report: Report) -> list[tuple[str, str]]:
    """The report as lines of a name and a value."""
    rules = (
        "LOST",
        "GHOST",
        "EARLY",
        "DOUBLE-ACK",
        "UNEXPLAINED",
        "CANCEL",
        "EXPIRED",
        "DEAD",
        "STUCK",
        "CRASH",
        "VACUOUS",
    )
    return [
        ("submits acknowledged", f"{report.submitted:,}"),
        ("submits never answered", f"{report.unknown:,}"),
        ("executions", f"{report.executions:,}"),
        ("faults", f"{sum(report.faults.values()):,} ({', '.join(f'{k} {v}' for k, v in report.faults.items())})"),
        ("run again as their outcome asked", f"{report.again:,}"),
        ("run again after a fault", f"{report.extra:,}"),
        *((rule.lower(), str(report.count(rule))) for rule in rules),
        (
            "recovery after SIGKILL of a worker",
            f"p50 {quantile(report.recovery_ms, 0.5):,.0f} ms, p99 {quantile(report.recovery_ms, 0.99):,.0f} ms of "
            f"{len(report.recovery_ms):,}, {report.recoveries_left_out:,} left out (lease {report.lease_ms:,} ms)",
        ),
        (
            "lateness of first starts",
            f"p50 {quantile(report.late_ms, 0.5):,.0f} ms, p99 {quantile(report.late_ms, 0.99):,.0f} ms",
        ),
    ]

"""The doctor: whether every rule of the contract holds, and whether the server suits. It writes only to repair.

A fault is told only when it is there twice, unchanged, with a pause in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby

from redsched.client import Client
from redsched.observe.doctor import environment, liveness
from redsched.observe.doctor.invariants import MOST_QUEUES, Walk
from redsched.observe.doctor.report import Finding, Line, Report, fault_lines, finding, worst
from redsched.observe.doctor.rules import RULES
from redsched.steps import doctor as doctor_steps
from redsched.wire import doctor
from redsched.wire.doctor import Fault

__all__ = ["Finding", "Line", "Report", "examine"]

PAUSE = 2.0  # seconds between the looks
ROUNDS = 50  # of mending: one uncovers what another hid
_ORDER = ("key", "queue", "task", "entry", "pending")


def examine(
    client: Client,
    *,
    queues: Sequence[str] = (),
    pause: float = PAUSE,
    repair: bool = False,
    security: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Look at the namespace of a client, or only at some queues of it; ``repair`` mends what can be mended.

    ``pause``: seconds between the two looks. Where it repairs, it looks again afterwards and tells what is left.
    ``tell``: called every other second of a long look with how far it is.
    """
    way = client.converse("doctor", doctor_steps.find_way(client.mode))
    faults, walk, watch = _faults(client, way, queues, pause, sleep, tell)
    mended: list[Finding] = []
    for _ in range(ROUNDS if repair else 0):
        done = _mend(client, faults)
        mended += done
        if not done:
            break
        faults, walk, watch = _faults(client, way, queues, pause, sleep, tell)
    lines = environment.lines(client, way)
    lines += liveness.lines(client, way, watch, _shown(walk), tell)
    if security:
        from redsched.observe.security import security_checks  # asked for rarely

        lines += security_checks(client)
    lines += _rule_lines(client, walk, faults)
    return Report(
        level=worst(lines),
        lines=lines,
        findings=[finding(fault) for fault in faults],
        mended=mended,
        tasks=walk.tasks,
        entries=walk.entries,
        keys=walk.keys,
        cut=walk.cut,
    )


def _faults(
    client: Client,
    way: doctor_steps.Way,
    queues: Sequence[str],
    pause: float,
    sleep: Callable[[float], None],
    tell: Callable[[str], None],
) -> tuple[list[Fault], Walk, liveness.Watch]:
    walk = Walk(client, way, queues, tell)
    suspects = walk.look()
    watch = liveness.Watch(client, _shown(walk))
    watch.look()
    watch.rest(pause, sleep)
    watch.look()
    return walk.judge(suspects), walk, watch


def _shown(walk: Walk) -> list[str]:
    """The queues whose state is told: all of a few, of many those that hold anything."""
    return (sorted(walk.queues) if len(walk.queues) <= liveness.MOST_LINES else walk.held)[:MOST_QUEUES]


def _mend(client: Client, faults: Sequence[Fault]) -> list[Finding]:
    done: list[Finding] = []
    wanted = sorted(
        (fault for fault in faults if RULES[fault.rule].mend),
        key=lambda fault: (_ORDER.index(fault.kind), fault.rule != "key_type", fault.queue),  # it stops other scripts
    )
    for (_, _, queue), group in groupby(wanted, key=lambda fault: (fault.kind, fault.rule == "key_type", fault.queue)):
        named = {(fault.kind, fault.name): fault for fault in group}
        if any(fault.rule == "epoch" for fault in named.values()):
            client.install()
            done += [finding(fault, "installed") for fault in named.values() if fault.rule == "epoch"]
        targets = list(named)
        for at in range(0, len(targets), doctor.MENDED):
            page = targets[at : at + doctor.MENDED]
            answers = client.repair(queue, page)
            done += [finding(named[target], word) for target, word in zip(page, answers, strict=True) if word != "well"]
    return done


def _rule_lines(client: Client, walk: Walk, faults: Sequence[Fault]) -> list[Line]:
    lines = []
    if not walk.scanned:
        lines.append(
            Line(
                "WARN",
                "scan",
                "SCAN is refused: hashes that no index knows were not looked for",
                "a producer that died between its two commands leaves such a hash",
                "run the doctor as an operator",
            )
        )
    if walk.cut:
        more = f"{len(faults)} and more; the rest was not looked at"
        lines.append(Line("FAIL", "faults", more, mend="repair, then look again"))
    lines += [
        Line("WARN", f"queue {queue}", "not looked at: these credentials may not read it", "", "redsched acl print")
        for queue in sorted(walk.denied)
    ]
    if walk.left_out:
        lines.append(
            Line(
                "WARN",
                "other queues",
                f"{walk.left_out:,} queues more hold something and were not looked at",
                f"one look goes through {MOST_QUEUES:,}",
                "redsched doctor --queue NAME",
            )
        )
    if not faults and not walk.denied:
        looked = f"{walk.tasks} tasks, {walk.entries} ready entries and {walk.keys} other keys keep every rule"
        lines.append(Line("OK", "rules", looked))
    lines.append(Line("OK", "queues", ", ".join(sorted(walk.queues)[:20]) or "none yet"))
    return lines + fault_lines(faults, client.settings.namespace)

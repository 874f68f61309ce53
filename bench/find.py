"""What search costs: a page among a million tasks with three tags each, while a worker drains another queue.

Also the memory of a tag, and what a change of 100,000 tasks (``redsched bulk reschedule --by +2h``) does to the
lateness of another queue. The floor of a page is a command that does nothing, over the same client; that of the longest
call is the longest claim of the same minutes. Not part of ``make bench``: a million tasks take over a gigabyte of
memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any

from bench.app import RECORD_FILE
from bench.common import BATCH, CLIENT_CORE, ROOT, Options, Stage, Tick, main, now_ms, pinned
from bench.lateness import RATE, SPREAD, spread
from bench.memory import used_memory
from bench.noise import cpu_seconds
from bench.report import Report, percentile
from redsched import Task
from redsched.steps.exchange import Command

TASKS, PLAIN, DRAINED, MOVED = 1_000_000, 100_000, 60_000, 100_000
SHOPS = 1_000
PAGES = 100  # of each search
CLAIM = b"rs1_settle_and_claim"  # how long a small call takes at most says how much the machine itself stops a call
MONTH_MS = 30 * 86_400_000
SEARCHES = {
    "a shop": "tag:shop:{n}",
    "a shop, one kind of its reminders": "tag:shop:{n} tag:kind:3 type:later state:waiting due:<60d",
    "all of a kind": "tag:kind:{kind}",
    "500 looked at, none found": "tag:all type:other",
}


def measure(options: Options, tick: Tick) -> Report:
    """Milliseconds of a page, bytes of a tag, lateness of another queue."""
    report = Report(name="find", title="search among many tasks, while a worker drains another queue")
    with Stage(report, options) as stage:
        stage.clear()
        count, plain = options.sized(TASKS), options.sized(PLAIN)
        untagged = _grown(stage, plain, tagged=False)
        tick(f"{plain:,} tasks without tags")
        tagged = _grown(stage, count, tagged=True)
        tick(f"{count:,} tasks with three tags each")
        report.add("a task without tags", untagged, "bytes", floor=True)
        report.add("a tag of a task", (tagged - untagged) / 3, "bytes", better="less")
        _cpu(stage, options)
        tick("the server's CPU")
        _pages(stage, options)
        tick("pages")
        for name, bulk in (("before", False), ("during the change", True)):
            late = _lateness(stage, options, bulk=bulk)
            report.add(f"lateness of another queue, {name}: p50", percentile(late, 0.5), "ms", better="less")
            report.add(f"lateness of another queue, {name}: p99", percentile(late, 0.99), "ms", better="less")
            tick(f"lateness {name}")
    return report


def _grown(stage: Stage, count: int, *, tagged: bool) -> float:
    before, due = used_memory(stage), now_ms() + MONTH_MS
    for first in range(0, count, BATCH):
        tags = [(f"shop:{n % SHOPS}", f"kind:{n % 7}", "all") for n in range(first, first + BATCH)]
        made = [Task(type="later", queue="later", due=due, tags=some if tagged else None) for some in tags]
        stage.client.enqueue_many(made)
    return (used_memory(stage) - before) / count


def _pages(stage: Stage, options: Options) -> None:
    """Pages while tasks are drained; each search in turn, so that all meet the same load."""
    report, took = stage.report, {name: list[float]() for name in SEARCHES}
    stage.wire.call("CONFIG", "SET", "slowlog-log-slower-than", 500)
    stage.wire.call("CONFIG", "SET", "slowlog-max-len", 100_000)
    with stage.worker() as process:
        count = options.sized(DRAINED)
        stage.wire.call("SLOWLOG", "RESET")
        stage.enqueue([0] * count)
        beside, n = 0, 0
        while min(map(len, took.values())) < options.sized(PAGES):
            if stage.started() > count * 0.8:
                count += options.sized(DRAINED)
                stage.enqueue([0] * options.sized(DRAINED))
            for name, words in SEARCHES.items():
                n += 1
                began = time.perf_counter()
                stage.client.search(words.format(n=n % SHOPS, kind=n % 7), limit=50)
                took[name].append(1_000 * (time.perf_counter() - began))
            beside = stage.started()
        report.notes.append(f"the worker had started {beside:,} tasks by the end of the pages")
        stage.until(lambda: stage.started() >= count, 300, "every task's start", process)
    for name, all_of_it in took.items():
        late = sorted(all_of_it)
        report.add(f"a page, {name}: p50", percentile(late, 0.5), "ms", better="less")
        report.add(f"a page, {name}: p99", percentile(late, 0.99), "ms", target=20, better="less")
    report.add("the longest call of find in Redis", _longest(stage, b"rs1_find"), "ms", target=5, better="less")
    report.add("the longest claim of sixteen tasks at that time", _longest(stage, CLAIM), "ms", floor=True)
    began = time.perf_counter()
    for _ in range(100):
        stage.client.converse("ping", _time())
    report.add("a command that does nothing", 10 * (time.perf_counter() - began), "ms", floor=True)


def _cpu(stage: Stage, options: Options) -> None:
    """The server's CPU for a page, which does not depend on what else the machine does."""
    for name, words in SEARCHES.items():
        before, pages = cpu_seconds(stage.server.pid), options.sized(PAGES)
        for n in range(pages):
            stage.client.search(words.format(n=n % SHOPS, kind=n % 7), limit=50)
        spent = 1_000 * (cpu_seconds(stage.server.pid) - before) / pages
        stage.report.add(f"a page, {name}: the server's CPU", spent, "ms", better="less")


def _longest(stage: Stage, function: bytes) -> float:
    """Milliseconds of the longest call of a function; 0 where each took less than half a millisecond."""
    entries = stage.wire.call("SLOWLOG", "GET", 100_000)
    return max((entry[2] for entry in entries if function in entry[3][:2]), default=0) / 1_000


def _time() -> Generator[Command, Any, Any]:
    """One plain command."""
    return (yield ("TIME",))


def _lateness(stage: Stage, options: Options, *, bulk: bool) -> list[float]:
    moved = options.sized(MOVED)
    due = now_ms() + MONTH_MS
    if bulk:
        for _ in range(0, moved, BATCH):
            stage.client.enqueue_many([Task(type="later", queue="moved", due=due, tags=["mine"]) for _ in range(BATCH)])
    count = options.sized(SPREAD)
    (stage.folder / RECORD_FILE).unlink(missing_ok=True)
    with stage.worker() as process:
        _, first = stage.enqueue_ahead(spread(count, RATE), process)
        time.sleep(max(0, first / 1_000 - time.time()))
        if bulk:
            words = ["bulk", "reschedule", "tag:mine", "--by", "+2h", "--yes", "-o", "json"]
            began = time.perf_counter()
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "REDSCHED_REDIS_URL": stage.url}
            command = pinned(CLIENT_CORE, [sys.executable, "-m", "redsched", *words])
            told = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=600).stdout
            stage.report.add(f"{moved:,} tasks moved by two hours", time.perf_counter() - began, "s", better="less")
            done = json.loads(told)
            stage.report.notes.append(f"bulk: {done['state']}, {done['changed']:,} of {done['total']:,} changed")
        stage.until(lambda: stage.started() >= count, 300, "every task's start", process)
    if bulk:
        longest = _longest(stage, b"rs1_shift")
        stage.report.add("the longest call of the change in Redis", longest, "ms", target=5, better="less")
        stage.report.add("the longest claim during the change", _longest(stage, CLAIM), "ms", floor=True)
    return sorted(started_ns / 1e6 - due_ms for number, due_ms, started_ns in stage.records() if number >= 0)


if __name__ == "__main__":
    main(measure, __doc__)

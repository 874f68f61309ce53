"""Two versions on one Redis, of which only the newer knows ``besides``, a member of conditions that skips a task.

The newer tree is a copy of this one with that member and the next build. Workers of both, each with its mover, run at
once, as functions and as scripts; the older ones go in the end, as in a rolling upgrade.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import redsched
from redsched.wire import scripts
from tests.support.processes import environment
from tests.support.servers import connect
from tests.support.workers import Site, site_on

ROOT = Path(redsched.__file__).parents[1]
TASKS = 300
# in the newer tree: the member, and what it means
PATCHES = {
    "lua/lib/conditions/conditions.lua": (
        "  fifo = schema.is_flag,",
        "  fifo = schema.is_flag, besides = schema.is_fact,",
    ),
    "lua/lib/conditions/facts.lua": (
        "function facts.is_met(prefix, plan)\n",
        "function facts.is_met(prefix, plan)\n"
        "  if plan.besides and is_fact_there(prefix, plan.besides) then return false end\n",
    ),
}
# what a producer of the newer version does: enqueue with its own library or scripts
PRODUCE = """
import json, sys
from redsched import Client
from redsched.wire import scripts
from redsched.wire.call import Call
assert scripts.BUILD == {build}
url, namespace, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Client(url, namespace=namespace) as client:
    for at in range(0, count, 50):
        words = [0]
        for n in range(at, at + 50):
            conditions = {{"only_if": {{"fact": "go"}}, "besides": f"paid:{{n}}"}}
            fields = ["type", "note", "payload", "{{}}", "conditions", json.dumps(conditions)]
            words += [1, f"t{{n:03}}", f"+{{n * 10}}", 3, *fields]
        call = Call("enqueue", (f"{{{{{{namespace}}}}}}:due:default",), tuple(words), list)
        assert set(client.transport.send(call)) == {{b"created"}}
"""


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A copy of this tree that knows one member more."""
    tree = tmp_path / "newer"
    shutil.copytree(ROOT / "redsched", tree / "redsched", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "lua", tree / "lua")
    for name, (old, new) in PATCHES.items():
        text = (tree / name).read_text()
        assert text.count(old) == 1, name
        (tree / name).write_text(text.replace(old, new))
    digest = run(tree, "-c", "from redsched.wire import scripts; print(scripts.digest())").strip()
    with open(tree / "lua" / "BUILDS", "a") as builds:
        builds.write(f"{scripts.BUILD + 1} {digest}\n")
    return tree


@pytest.fixture(params=["valkey", "valkey-scripts"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store with functions, and one without."""
    with site_on(request, request.param, tmp_path) as found:
        yield found


def run(tree: Path, *words: str) -> str:
    """What Python says in a tree."""
    variables = environment(PYTHONPATH=str(tree))
    return subprocess.run(
        [sys.executable, *words], env=variables, cwd=tree, text=True, check=True, stdout=subprocess.PIPE
    ).stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_task_runs_without_conditions_that_only_one_of_two_versions_knows(site: Site, newer: Path) -> None:
    os.symlink(ROOT / "tests", newer / "tests")  # the handlers
    old = site.worker()
    site.worker(tree=newer)
    site.store.redis.set(site.store.key("fact:go"), 1)
    for n in range(0, TASKS, 2):
        site.store.redis.set(site.store.key(f"fact:paid:{n}"), 1)

    produce = PRODUCE.format(build=scripts.BUILD + 1)
    run(newer, "-c", produce, site.url, site.store.namespace, str(TASKS))
    restarted = site.worker()  # an older one that comes up beside the newer ones
    site.until(lambda: site.depths().get("finished", 0) >= TASKS // 10, 60)
    for worker in (old, restarted):
        worker.process.terminate()
    site.until_depths(finished=TASKS, seconds=90)

    ids = [f"t{n:03}" for n in range(TASKS)]
    states = Counter((view.state, view.reason) for view in site.views(ids))
    assert states == {("skipped", "only_if go"): TASKS // 2, ("completed", None): TASKS // 2}
    ran = Counter(run.id for run in site.ledger.runs("started"))
    assert ran == Counter(f"t{n:03}" for n in range(1, TASKS, 2))
    if site.store.kind != "valkey-scripts":
        with connect(site.url) as connection:
            assert connection.fcall(scripts.PREFIX + "version", 0)[0] == scripts.BUILD + 1
    site.assert_consistent()


def test_a_library_that_knows_less_leaves_what_it_does_not_know(site: Site, newer: Path) -> None:
    site.store.redis.set(site.store.key("fact:go"), 1)
    run(newer, "-c", PRODUCE.format(build=scripts.BUILD + 1), site.url, site.store.namespace, "50")
    if site.store.kind != "valkey-scripts":
        with connect(site.url) as connection:
            connection.function_load(scripts.library(), replace=True)  # as a copy of the server from before would
    worker = site.worker()

    def events() -> Counter[str]:
        told = Counter(fields["event"] for _, fields in site.store.redis.xrange(site.store.key("events")))
        del told["type_put"]  # the worker has told of its types
        return told

    site.until(lambda: events().total() >= 50)

    assert events() == {"postponed": 50}
    assert site.ledger.runs("started") == []
    told = json.dumps([site.client.explain("t000").code, site.depths()])
    assert json.loads(told) == ["needs_newer", {"scheduled": 50}]
    worker.process.terminate()

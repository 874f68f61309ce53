"""Every two members of ``conditions`` in one task: the contract's table has what they do together, and they do it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from redsched.model.condition import MEMBERS, of_json
from redsched.model.errors import InvalidTask
from redsched.wire import protocol
from redsched.wire.condition_words import wire_conditions
from tests.support.lua_queue import NOW, Queue

README = Path(__file__).resolve().parents[2] / "lua" / "README.md"
EXAMPLES: dict[str, Any] = {
    "cancel_on": ["stop:{id}"], "hold": {"token": "{id}"}, "wait_for": {"any": ["go"]}, "after": {"ids": ["p"]},
    "fifo": True, "unless": {"fact": "bad", "exists": True}, "only_if": {"fact": "good", "exists": True},
    "otherwise": {"again": 1_000}, "late": {"x": {"fact": "good"}}, "digest": {"key": "d", "grace": 1_000},
    "unique": {"key": "u"},
}  # fmt: skip
MODES = ("reject", "replace", "debounce", "keep_last")
PAIRS = list(itertools.combinations(EXAMPLES, 2))
STAYS = {
    "claimed",
    "emitted",
    "events",
    "fact",
    "forgotten",
    "indexed",
    "meta",
    "mover",
    "queues",
    "ready",
    "stats",
    "sweeps",
}
two_servers = pytest.mark.parametrize(
    "queue", [("valkey", "functions"), ("redis", "scripts")], indirect=True, ids="-".join
)


def table() -> dict[tuple[str, str], str]:
    """What the contract's table says of each pair."""
    lines = README.read_text(encoding="utf-8").partition("### Two members in one task")[2].splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    columns = rows[0][1:]
    return {
        (row[0], column): cell
        for row in rows[2 : len(columns) + 2]
        for column, cell in zip(columns, row[1:], strict=True)
        if cell
    }


def conditions_of(pair: tuple[str, str], task_id: str, mode: str) -> str:
    """The JSON of both members."""
    members = {member: EXAMPLES[member] for member in pair}
    if "unique" in members:
        members["unique"] = members["unique"] | {"mode": mode}
    return json.dumps(members).replace("{id}", task_id)


def test_the_contract_says_of_each_pair_what_it_does() -> None:
    assert set(EXAMPLES) == MEMBERS
    assert set(table()) == set(PAIRS)
    legend = README.read_text(encoding="utf-8").partition("### Two members in one task")[2]
    for word in set(table().values()):
        assert f"- `{word}`: " in legend, f"nothing says what {word} means"


@two_servers
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if table().get(pair) == "refused"], ids="-".join)
def test_a_pair_that_makes_no_sense_is_refused_wherever_it_is_written(queue: Queue, pair: tuple[str, str]) -> None:
    text = conditions_of(pair, "a", "reject")
    words = (1, "a", 0, 4, "type", "t", "payload", "{}", "key", "k", "conditions", text)
    queue.plan("p", {})
    queue.plan("b", {}, due=NOW + 1_000, key="k")

    refusal = f"RS_INVALID 1 conditions hold {pair[0]} and {pair[1]}, which do not go together"
    assert refusal in queue.refused("enqueue", 0, *words)
    assert refusal in queue.refused("update", NOW, 1, "conditions", text, "b")
    with pytest.raises(InvalidTask, match="does not go together"):
        wire_conditions(of_json({member: EXAMPLES[member] for member in pair}))
    queue.seed("raw", conditions=text, key="k")
    queue.promote()
    assert (queue.task("raw")["state"], queue.task("raw")["reason"]) == ("dead", "malformed")


class Play:
    """Three tasks with the same two members: the first starts before the others come, and all end."""

    def __init__(self, queue: Queue, pair: tuple[str, str], mode: str) -> None:
        self.queue, self.pair, self.mode, self.now = queue, pair, mode, NOW
        self.runs: dict[str, list[Any]] = {}  # task that started -> payloads that it ran
        self.running: list[Any] = []
        self.made: list[str] = []

    def submit(self, *names: str) -> None:
        for name in names:
            fields = {
                "conditions": conditions_of(self.pair, name, self.mode),
                "payload": json.dumps({"n": name}),
                "key": "k0" if name == "a" else "k1",
            }
            (answer,) = self.queue.enqueue((name, 0, fields), now=self.now)
            if not answer.startswith("rejected"):
                self.made.append(name)
            assert answer.partition(" ")[0] in ("created", "merged", "rejected"), answer

    def satisfy(self, *names: str) -> None:
        """Confirm, and let what is waited for happen."""
        if "hold" in self.pair:
            for name in names:
                call = protocol.confirm(self.queue.keys, [name], name, action="confirm")
                self.queue.send(call, now=self.now)
        self.queue.emit("go", now=self.now)

    def turn(self) -> None:
        """A second goes by; what is due starts, what had started before ends."""
        self.now += 1_000
        self.queue.attend(now=self.now)
        self.queue.promote(now=self.now)
        started = self.queue.claim(now=self.now).tasks
        exclusive = self.mode in ("reject", "keep_last") and "unique" in self.pair
        names = [task.id for task in (*self.running, *started) if task.id != "p"]
        assert len(names) < 2 or not exclusive, f"{names} of one unique key run at once"
        assert {"b", "c"} - set(names) or "fifo" not in self.pair, "b and c of one key run at once"
        for task in self.running:
            assert self.queue.settle(task, "complete", now=self.now) == "completed"
        for task in started:
            assert task.id not in self.runs, f"{task.id} runs twice"
            payload = json.loads(task.payload)
            self.runs[task.id] = payload["items"] if "digest" in self.pair and task.id != "p" else [payload]
        self.running = list(started)

    def end(self, name: str) -> str:
        """How a task ended: ran, merged, or what its state says."""
        task = self.queue.task(name)
        inside = [run for run, items in self.runs.items() if any(item.get("n") == name for item in items)]
        assert len(inside) <= 1, f"{name} is in {inside}"
        if task["state"] == "completed":
            assert inside == [name]
            return "ran"
        assert task.get("reason"), f"{name} is {task['state']} and nobody says why"
        if task["reason"].startswith("merged into "):
            assert inside == [task["reason"].removeprefix("merged into ")]
            return "merged"
        assert inside == [], f"{name} ran in {inside} and is {task}"
        return task["state"]


@two_servers
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if table().get(pair) != "refused"], ids="-".join)
def test_two_members_in_one_task_do_what_each_does_alone(queue: Queue, pair: tuple[str, str]) -> None:
    for mode in MODES if "unique" in pair else ("",):
        play = Play(queue, pair, mode)
        if "after" in pair:
            queue.plan("p", {})
        queue.emit("good")
        play.submit("a")
        play.satisfy("a")
        for _ in range(2 if "after" in pair else 1):
            play.turn()
        play.submit("b", "c")
        if "cancel_on" in pair:
            queue.emit("stop", "b", now=play.now)
        play.satisfy("b", "c")
        for _ in range(8):
            play.turn()

        ends = {name: play.end(name) for name in play.made}
        assert "ran" in ends.values(), f"{pair} {mode}: {ends}"
        if "cancel_on" in pair and "b" in ends:
            assert ends.pop("b") == "cancelled"
        if "unique" not in pair:
            assert set(ends.values()) <= {"ran", "merged"}, f"{pair}: {ends}"
        if "fifo" in pair and {"b", "c"} <= play.runs.keys():
            assert list(play.runs).index("b") < list(play.runs).index("c")
        if "late" in pair:
            items = [item for name, found in play.runs.items() if name != "p" for item in found]
            assert all(item["x"] is None for item in items) and items
        for _ in range(3):
            play.now += 40 * 86_400_000
            queue.run("sweep", [queue.keys.due], [play.now, 500, 100, 100])
            queue.attend(now=play.now)
        left = {key.removeprefix(queue.key("")).partition(":")[0] for key in queue.dump()}
        assert left <= STAYS, f"{pair} {mode}: {left - STAYS}"

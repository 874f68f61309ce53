"""Events, rules, holds, pauses, workflows and explain from the command line, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redsched.client import Client
from redsched.model.errors import InvalidTask
from redsched.model.task import Task
from tests.support.command_line import Cli
from tests.support.servers import Store


@pytest.fixture
def client(valkey_store: Store) -> Client:
    return valkey_store.client()


def test_a_reminder_and_the_event_that_calls_it_off(cli: Cli, client: Client) -> None:
    cli("task", "add", "log", "--id", "a", "--in", "1h", "--cancel-on", "paid:1", "--unless", "paid:1")
    assert cli("emit", "paid", "1", "-d", '{"amount": 5}') == (0, "paid:1: 1 task(s) told\n", "")

    code, out, _ = cli("task", "explain", "a")
    assert code == 0
    assert out.splitlines()[0].startswith("a was cancelled at ")
    assert out.splitlines()[0].endswith("the event paid:1 called it off.")
    assert '  fact paid:1: {"amount": 5}' in out
    assert cli("task", "explain", "nobody")[0] == 3


def test_a_task_is_explained_whatever_its_queue(cli: Cli) -> None:
    cli("task", "add", "log", "--id", "a", "-q", "mail", "--in", "1h")

    assert cli("task", "explain", "a")[1].startswith("a is scheduled: it is due at ")
    assert cli("task", "explain", "a", "-q", "default")[0] == 3
    code, _, told = cli("dead", "show", "a")
    assert (code, told) == (4, "Task a in queue mail is scheduled, not dead.\n")


def test_all_conditions_may_be_given_as_json(cli: Cli, client: Client) -> None:
    conditions = {"unique": {"key": "k", "release": "ttl", "ttl": "1h"}, "wait_for": "x"}
    cli("task", "add", "log", "--id", "a", "--conditions", json.dumps(conditions))
    code, out, _ = cli("task", "add", "log", "--id", "b", "--conditions", json.dumps(conditions))
    assert (code, out) == (0, "rejected b in queue default (a)\n")
    assert client.task("a").blocked == "facts"
    code, _, err = cli("task", "add", "log", "--conditions", '{"unless": {"fact": "a b"}}')
    assert code == 2
    assert "conditions.unless.fact: a text of 3 characters is no name of a fact; nothing was written" in err


def test_rules_from_options_and_from_a_file(cli: Cli, client: Client, tmp_path: Path) -> None:
    assert (
        cli(
            "rule",
            "put",
            "dun",
            "--on",
            "failed",
            "--in",
            "1h",
            "--type",
            "log",
            "--task-id",
            "dun:{subject}",
            "-p",
            "{}",
            "--bind",
            "order=subject",
            "--unless",
            "paid:{subject}",
        )[1]
        == "created dun\n"
    )
    path = tmp_path / "rule.toml"
    path.write_text('on = "failed"\n[task]\ntype = "alert"\nqueue = "mail"\n')
    assert cli("rule", "put", "alert", "-f", str(path))[1] == "created alert\n"
    assert "dun:{subject}" in cli("rule", "ls")[1]
    assert json.loads(cli("rule", "show", "alert")[1])["task"] == {"type": "alert", "queue": "mail"}

    out = cli("emit", "failed", "o1", "--id", "e1")[1]
    assert sorted(out.splitlines()[1:]) == ["made default/dun:o1", "made mail/alert:e1"]
    assert cli("rule", "rm", "dun")[0] == 0
    assert cli("rule", "rm", "dun")[0] == 3
    assert cli("rule", "put", "x", "--on", "failed")[0] == 2


def test_a_workflow_is_drawn(cli: Cli, client: Client) -> None:
    client.chain([Task(type="t", id=f"c{at}") for at in range(3)])
    client.group([Task(type="t", id="g1"), Task(type="t", id="g2")], Task(type="t", id="sum"))
    cli("task", "add", "t", "--id", "both", "--after", "c2", "--after", "sum")

    lines = cli("task", "tree", "c0")[1].splitlines()
    assert [line.split()[-3] for line in lines] == ["c0", "c1", "c2", "both"]
    assert lines[-1].endswith("t held")
    assert json.loads(cli("task", "tree", "g1", "-o", "json")[1])["children"][0]["id"] == "sum"


def test_a_workflow_is_cancelled_as_a_whole(cli: Cli, client: Client) -> None:
    client.chain([Task(type="t", id=f"c{at}") for at in range(3)])

    assert cli("workflow", "cancel", "c2", "--reason", "order gone")[1] == "3 cancelled, 0 asked to stop, 0 had ended\n"
    assert client.task("c0").reason == "order gone"
    assert json.loads(cli("workflow", "cancel", "c2", "-o", "json")[1])["cancelled"] == 3
    assert cli("workflow", "cancel", "none")[0] == 3


def test_held_tasks_are_confirmed_and_abandoned(cli: Cli, client: Client) -> None:
    held = client.hold("t", {}, id="a")
    assert cli("task", "confirm", "a", "--token", "other")[0] == 4
    assert cli("task", "confirm", "a", "--token", held.token)[:2] == (0, "confirmed a\n")
    assert cli("task", "abandon", "a", "--token", held.token)[0] == 4


def test_a_type_is_paused_and_resumed(cli: Cli, client: Client) -> None:
    client.enqueue("t", queue="mail")
    assert cli("queue", "pause", "mail", "--type", "t", "--reason", "provider down")[1].startswith("paused type t of")
    assert cli("queue", "ls")[1].splitlines()[-1].endswith("type t")
    assert "provider down" in cli("queue", "paused")[1]
    assert cli("queue", "resume", "mail", "--type", "t")[1] == "resumed type t of queue mail\n"
    assert cli("queue", "resume", "mail")[1] == "was not paused: queue mail\n"
    assert cli("queue", "paused", "mail")[2] == "Nothing is paused.\n"


def test_a_file_of_tasks_is_added_once_however_often_the_command_is_given(
    cli: Cli, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "statements.jsonl"
    lines = [{"type": "t", "payload": {"n": at}, "timeout": 5_000} for at in range(30)]
    path.write_text("\n".join(map(json.dumps, [*lines, {"type": "t", "id": "own", "colour": "red"}])) + "\n\n")
    add = ("task", "add-many", str(path), "--run", "2027-01", "--batch", "10")

    status, _, told = cli(*add)
    assert status == 1
    assert f"{path}, line 31: Object contains unknown field `colour`" in told
    path.write_text(path.read_text().replace(', "colour": "red"', ""))

    assert cli(*add)[1] == "run 2027-01: 31 tasks; 30 of them by an earlier call; 1 created\n"
    assert cli(*add)[1] == "run 2027-01: 31 tasks; 31 of them by an earlier call; nothing new\n"
    assert (client.task("2027-01.29").payload, client.task("2027-01.29").timeout_ms) == ({"n": 29}, 5_000)
    assert client.task("own").payload is None
    spread = cli(*add[:3], "--run", "february", "--spread", "2h", "-o", "json")[1]
    assert json.loads(spread)["answers"] == {"created": 30, "existing": 1}
    assert cli("task", "add-many", "none.jsonl", "--run", "x")[0] == 2


def test_a_queue_that_nobody_knows_is_paused_only_by_force(cli: Cli) -> None:
    status, _, told = cli("queue", "pause", "mial")
    assert (status, told) == (3, "No queue mial, nothing changed. To pause it all the same, give --force.\n")
    assert cli("queue", "pause", "mial", "--force")[1] == "paused queue mial\n"


def test_one_switch_stops_everything_and_lets_go_again(cli: Cli, client: Client) -> None:
    client.enqueue("t", queue="mail")
    client.enqueue("t", queue="sms")
    client.pause("sms", reason="own")
    assert cli("pause", "--all", "--reason", " ")[0] == 2
    with pytest.raises(InvalidTask, match="reason: must say why everything is paused"):
        client.pause_all(reason="")
    assert client.paused(["mail"]) == []
    assert cli("pause", "--all")[0] == cli("pause", "mail", "--all", "--reason", "x")[0] == 2

    assert cli("pause", "--all", "--reason", "database moves")[1] == "paused everything\n"
    shown = json.loads(cli("queue", "ls", "-o", "json")[1])
    assert [(one["queue"], [stop["all"] for stop in one["paused"]]) for one in shown] == [
        ("mail", [True]),
        ("sms", [True, False]),
    ]
    told = cli("queue", "paused")[1]
    assert told.startswith("Everything is paused since ")
    assert "database moves" in told.splitlines()[0]
    assert "everything is paused" in client.explain(client.enqueue("t", queue="new").id, queue="new").text

    assert cli("resume", "--all")[1] == "resumed everything\n"
    assert cli("resume", "--all")[1] == "was not paused: everything\n"
    assert [stop.queue for stop in client.paused(["mail", "sms", "new"])] == ["sms"]


def test_the_caps_of_a_queue_are_set_and_shown(cli: Cli) -> None:
    assert cli("queue", "limit")[1] == "queue default keeps 100,000 finished tasks and all dead letters\n"
    told = cli("queue", "limit", "mail", "--finished", "none", "--dead", "5000")[1]
    assert told == "queue mail keeps all finished tasks and 5,000 dead letters\n"
    assert "100,000 finished" in cli("queue", "limit", "mail", "--finished", "default")[1]
    assert cli("queue", "limit", "mail", "--dead", "many")[0] == 2

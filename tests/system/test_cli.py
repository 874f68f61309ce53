"""The command line on a real server: each command is one verb, and its exit code tells a script what happened."""

from __future__ import annotations

import json
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from redsched.embedded import free_port
from tests.support.command_line import Cli
from tests.support.processes import Redsched, alive, until
from tests.support.servers import Store


def show(cli: Cli, id: str, queue: str = "default") -> Any:
    code, out, err = cli("task", "show", id, "-q", queue, "-o", "json")
    assert code == 0, err
    return json.loads(out)


def test_a_task_with_every_option_is_added_and_shown(cli: Cli) -> None:
    code, out, err = cli(
        "-o",
        "json",
        "task",
        "add",
        "mail.send",
        "-p",
        '{"to": "a@b"}',
        "--at",
        "2031-01-31T09:00:00+01:00",
        "--id",
        "m1",
        "-q",
        "mail",
        "--priority",
        "high",
        "--max-attempts",
        "7",
        "--retry",
        "1s,1m",
        "--timeout",
        "5s",
        "--expires-at",
        "2031-02-01T00:00:00Z",
        "--key",
        "a@b",
        "--tag",
        "x",
        "--tag",
        "y",
        "--header",
        "tenant=t1",
        "--retention",
        "1d",
        "--keep",
        "--request",
        "r1",
    )
    assert code == 0, err
    made = {"id": "m1", "queue": "mail", "status": "created", "durability": "memory", "other": None}
    assert json.loads(out) == made
    assert show(cli, "m1", "mail") | {"created_at": None} == {
        "id": "m1",
        "queue": "mail",
        "state": "scheduled",
        "type": "mail.send",
        "payload": {"to": "a@b"},
        "priority": "high",
        "max_attempts": 7,
        "retry": "list 1000 60000",
        "timeout_ms": 5_000,
        "due_at": "2031-01-31T08:00:00Z",
        "expires_at": "2031-02-01T00:00:00Z",
        "key": "a@b",
        "tags": ["x", "y"],
        "headers": {"tenant": "t1"},
        "retention_ms": 86_400_000,
        "keep": True,
        "request": "r1",
        "created_at": None,
    }


@pytest.mark.parametrize("form", ["json", "table"])
def test_a_payload_is_shown_as_it_is_stored(cli: Cli, valkey_store: Store, form: str) -> None:
    prefix = f"{{{valkey_store.namespace}}}:"
    stored = '{"b":1.0,"a":1e5,"n":12345678901234567890,"a":2,"s":"\\u00e9\\/"}'
    for id, payload in (("raw", stored), ("no-json", "01067")):
        valkey_store.redis.hset(f"{prefix}task:default:{id}", mapping={"type": "t", "payload": payload})
        valkey_store.redis.zadd(f"{prefix}due:default", {id: 3_900_000_000_000})

    shown = [cli("task", "show", id, "-o", form)[1] for id in ("raw", "no-json")]

    assert stored in re.sub(r"\s", "", shown[0])
    assert "not_json" not in shown[0]
    assert '"01067"' in shown[1] if form == "json" else "01067" in shown[1]
    assert "not_json" in shown[1]


def test_a_payload_comes_from_a_file_or_standard_input(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_text('["ä", 1.5, null]')
    assert cli("task", "add", "t", "--id", "file", "--in", "1h", "-p", f"@{tmp_path}/payload.json")[0] == 0
    assert cli("task", "add", "t", "--id", "pipe", "--in", "1h", "-p", "-", stdin='{"deep": {"er": true}}')[0] == 0
    assert show(cli, "file")["payload"] == ["ä", 1.5, None]
    assert show(cli, "pipe")["payload"] == {"deep": {"er": True}}


def test_in_is_counted_by_the_servers_clock(cli: Cli, valkey_store: Store) -> None:
    before = valkey_store.now_ms()
    assert cli("task", "add", "t", "--id", "a", "--in", "90s")[0] == 0
    due = datetime.fromisoformat(show(cli, "a")["due_at"]).timestamp() * 1_000
    assert before + 90_000 <= round(due) <= valkey_store.now_ms() + 90_000


def test_the_same_task_again_exists_and_another_with_its_id_is_a_conflict(cli: Cli) -> None:
    add = ("task", "add", "t", "--id", "a", "--in", "1h", "-p", "1")
    assert cli(*add)[1] == "created a in queue default\n"
    assert cli(*add)[1] == "existing a in queue default\n"
    code, out, err = cli("task", "add", "t", "--id", "a", "--in", "1h", "-p", "2")
    assert (code, out) == (4, "")
    assert "exists with another type or payload; nothing was written" in err


@pytest.mark.parametrize("arguments", [("no spaces here",), ("t", "--id", "bad id"), ("t", "-q", "{q}")])
def test_a_name_that_cannot_be_used_is_a_usage_error(cli: Cli, arguments: tuple[str, ...]) -> None:
    code, out, err = cli("task", "add", *arguments)
    assert (code, out) == (2, "")
    assert "nothing was written" in err


def test_a_missing_task_is_exit_code_3(cli: Cli) -> None:
    for command in (("show", "x"), ("cancel", "x"), ("reschedule", "x", "--in", "1s"), ("run", "x"), ("revive", "x")):
        code, _, err = cli("task", *command)
        assert code == 3, (command, err)
        assert "x" in err
        assert len(err.splitlines()) == 1


def test_a_task_is_rescheduled_run_now_and_cancelled(cli: Cli) -> None:
    cli("task", "add", "t", "--id", "a", "--in", "1h")
    assert cli("task", "reschedule", "a", "--at", "2031-01-01T00:00:00Z")[:2] == (0, "rescheduled a\n")
    assert show(cli, "a")["due_at"] == "2031-01-01T00:00:00Z"
    assert cli("task", "run", "a")[:2] == (0, "rescheduled a\n")
    assert datetime.fromisoformat(show(cli, "a")["due_at"]) <= datetime.now(UTC) + timedelta(seconds=5)
    assert cli("task", "cancel", "a", "--reason", "paid")[:2] == (0, "cancelled a\n")
    cancelled = show(cli, "a")
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "paid")
    assert cli("task", "cancel", "a")[:2] == (0, "cancelled a\n")
    assert cli("task", "reschedule", "a", "--in", "1s") == (4, "finished a\n", "Nothing changed: a is finished\n")
    assert cli("task", "revive", "a")[:2] == (4, "cancelled a\n")


def test_a_task_is_not_moved_beyond_its_start_by(cli: Cli) -> None:
    cli("task", "add", "t", "--id", "a", "--in", "1h", "--expires-in", "2h")

    refused = "Nothing changed: a would expire, for its start-by lies before that time\n"
    assert cli("task", "reschedule", "a", "--in", "3h") == (4, "expires a\n", refused)
    assert cli("task", "reschedule", "a", "--in", "100m")[:2] == (0, "rescheduled a\n")


def test_a_task_that_is_due_after_it_expires_is_not_added(cli: Cli) -> None:
    for when in (("--in", "2h"), ("--at", "2090-01-01T00:00:00Z")):
        code, out, err = cli("task", "add", "t", "--id", "a", *when, "--expires-in", "1h")
        problem = "must reach beyond the due time: the task is due after it expires; nothing was written"
        assert (code, out) == (2, "") and f"expires_in: {problem}" in err


def test_several_ids_are_answered_one_by_one(cli: Cli) -> None:
    for id in ("a", "b"):
        cli("task", "add", "t", "--id", id, "--in", "1h")
    code, out, err = cli("task", "cancel", "a", "ghost", "b", "-o", "json")
    assert code == 3
    assert json.loads(out) == {"a": "cancelled", "ghost": "missing", "b": "cancelled"}
    assert err == "No such task in any queue: ghost\n"
    assert cli("task", "cancel", "ghost", "-q", "default")[2] == "No such task in queue default: ghost\n"


def test_a_listing_is_paged_and_says_how_to_go_on(cli: Cli) -> None:
    for n in range(5):
        cli("task", "add", "t" if n % 2 else "u", "--id", f"a{n}", "--in", f"{n + 1}h")
    seen: list[str] = []
    cursor: tuple[str, ...] = ()
    while True:
        code, out, _ = cli("-o", "json", "task", "ls", "-n", "2", *cursor)
        page = json.loads(out)
        assert code == 0
        seen += [task["id"] for task in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = ("--cursor", page["next_cursor"])
    assert seen == [f"a{n}" for n in range(5)]
    code, out, err = cli("task", "ls", "-n", "2")
    assert code == 0
    assert out.splitlines()[0].split() == ["ID", "TYPE", "STATE", "DUE", "ATTEMPT", "REASON"]
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["a0", "a1"]
    assert re.fullmatch(r"More: --cursor \S+\n", err)
    only_t = json.loads(cli("task", "ls", "--type", "t", "-o", "json")[1])["items"]
    assert [task["id"] for task in only_t] == ["a1", "a3"]


def test_an_empty_listing_says_so_and_is_no_failure(cli: Cli) -> None:
    assert cli("task", "ls", "--state", "dead") == (0, "", "No dead tasks in queue default.\n")
    assert json.loads(cli("task", "ls", "-o", "json")[1]) == {"items": [], "next_cursor": None}


def test_queues_are_listed_with_their_depths(cli: Cli) -> None:
    assert cli("queue", "ls")[1] == ""
    cli("task", "add", "t", "-q", "otp", "--in", "1h")
    cli("task", "add", "t", "-q", "mail")
    code, out, _ = cli("queue", "ls")
    assert code == 0
    assert [line.split()[:4] for line in out.splitlines()[1:]] == [["mail", "0", "0", "1"], ["otp", "1", "0", "0"]]
    assert [queue["queue"] for queue in json.loads(cli("queue", "ls", "-o", "json")[1])] == ["mail", "otp"]


def test_install_says_what_the_server_has(cli: Cli) -> None:
    code, out, _ = cli("install", "-o", "json")
    assert code == 0
    installed = json.loads(out)
    assert installed["mode"] == "functions"
    assert installed["server"].startswith("valkey ")
    assert "mode" in cli("install")[1]


def test_a_long_id_is_never_cut_in_a_pipe(cli: Cli) -> None:
    id = "a" * 128
    cli("task", "add", "t", "--id", id, "--in", "1h")
    assert id in cli("task", "ls")[1]
    assert id in cli("task", "show", id)[1]


def write_app(folder: Path) -> None:
    (folder / "shop.py").write_text(
        "import asyncio\nfrom redsched import App, Context\napp = App(name='shop')\n"
        "@app.task('greet')\nasync def greet(name: str) -> str:\n    return f'hi {name}'\n"
        "@app.task('slow')\nasync def slow(ctx: Context) -> None:\n"
        "    await ctx.progress('begun')\n    await asyncio.sleep(1)\n"
        "@app.task('other', queue='q2')\nasync def other() -> None: ...\n"
    )


def test_a_burst_worker_runs_what_is_due_and_ends(cli: Cli, valkey_store: Store, tmp_path: Path) -> None:
    write_app(tmp_path)
    for n in range(50):
        cli("task", "add", "greet", "--id", f"g{n}", "-p", '{"name": "you"}')
    assert valkey_store.url
    env = {"REDSCHED_REDIS_URL": valkey_store.url, "REDSCHED_NAMESPACE": valkey_store.namespace}
    with Redsched("worker", "shop:app", "--burst", "-c", "4", env=env, cwd=tmp_path) as worker:
        assert worker.wait() == 0, worker.said()
    start = json.loads(next(line for line in worker.errors if '"worker.starting"' in line))
    assert start["loop"] in ("uvloop", "asyncio")
    assert start["queues"] == "default,q2"  # those that the app declares
    assert {show(cli, f"g{n}")["state"] for n in range(50)} == {"completed"}
    assert show(cli, "g0")["result"] == "hi you"


def test_a_worker_asked_to_stop_finishes_what_it_runs(cli: Cli, valkey_store: Store, tmp_path: Path) -> None:
    write_app(tmp_path)
    assert valkey_store.url
    port = free_port()
    arguments = ("worker", "shop:app", "-r", valkey_store.url, "--namespace", valkey_store.namespace)
    with Redsched(*arguments, "--metrics-port", str(port), cwd=tmp_path) as worker:
        cli("task", "add", "slow", "--id", "s")
        until(lambda: show(cli, "s").get("progress") == "begun", worker.said)
        family = worker.family()
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0, worker.said()
    assert show(cli, "s")["state"] == "completed"
    assert alive(family) == set()


def test_a_worker_serves_its_metrics_where_it_is_told_to(valkey_store: Store, tmp_path: Path) -> None:
    import urllib.request

    write_app(tmp_path)
    assert valkey_store.url
    port = free_port()
    arguments = ("-r", valkey_store.url, "--namespace", valkey_store.namespace)
    with Redsched("worker", "shop:app", *arguments, "--metrics-port", str(port), cwd=tmp_path) as worker:
        worker.wait_for_error("metrics.listening")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            assert b"redsched_" in answer.read()
        with Redsched("mover", *arguments, "--metrics-port", str(port)) as mover:
            assert mover.wait() == 2
        assert "metrics_port" in mover.said()
        assert "Traceback" not in mover.said()


def test_a_mover_and_a_worker_without_one_share_the_work(cli: Cli, valkey_store: Store, tmp_path: Path) -> None:
    write_app(tmp_path)
    assert valkey_store.url
    arguments = ("-r", valkey_store.url, "--namespace", valkey_store.namespace)
    cli("task", "add", "greet", "--id", "g", "-p", '{"name": "you"}', "--in", "300ms")
    with Redsched("worker", "shop:app", "--no-mover", *arguments, cwd=tmp_path), Redsched("mover", *arguments) as mover:
        until(lambda: show(cli, "g")["state"] == "completed", mover.said)
        mover.send(signal.SIGTERM)
        assert mover.wait() == 0, mover.said()


@pytest.mark.parametrize("arguments", [("worker", "redsched.builtin:app", "--burst"), ("up", "--port", "0")])
def test_a_process_that_does_not_wait_for_redis_says_so_and_ends(arguments: tuple[str, ...]) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    with Redsched(*arguments, env={"REDSCHED_REDIS_URL": url, "REDSCHED_RETRY_FOR": "200ms"}) as process:
        assert process.wait() == 5, process.said()
    assert f"Cannot reach {url} (connection refused)." in process.errors
    assert "Traceback" not in process.said()


@pytest.mark.parametrize(
    ("arguments", "begun"),
    [
        (("worker", "redsched.builtin:app"), "redis.waiting"),
        (("worker", "redsched.builtin:app", "-n", "2"), "redis.waiting"),
        (("mover",), "redis.waiting"),
        (("api", "--port", "0"), "api.listening"),
    ],
)
def test_a_process_logs_a_misspelt_variable_once(arguments: tuple[str, ...], begun: str) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    environ = {"REDSCHED_REDIS_URL": url, "REDSCHED_LEESE": "9s", "REDSCHED_LOG_FORMAT": "json"}
    with Redsched(*arguments, env=environ) as process:
        process.wait_for_error(begun)
        [line] = [line for line in process.errors if "LEESE" in line]
    told = json.loads(line)
    assert told["event"] == "setting.unknown"
    assert told["problem"].endswith("did you mean REDSCHED_LEASE?")

"""What anybody may have written reaches the operator's screen as text: control characters are shown, never sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import redsched
from redsched import Client
from redsched.cli.main import main
from redsched.cli.render import Lines, shown
from redsched.model.schedule import schedule_of
from redsched.wire import protocol
from redsched.wire.claims import Settlement
from tests.support.servers import Store

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\rmask\u202egnp"
SENT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def hostile(store: Store, client: Client) -> None:
    """A namespace in which every text that anybody may write steers a terminal."""
    client.enqueue("mail", {"a": EVIL}, id="dead", max_attempts=1, tags=[EVIL], headers={"h": EVIL})
    client.enqueue("mail", {"a": EVIL}, id="waits", delay="10000s", conditions={"unless": {"fact": "f"}})
    client.enqueue("mail", {"a": EVIL}, id="runs", retry=["1ms"])
    keys = client._keys("default")
    for started in client.transport.send(protocol.claim([keys], consumer="w", count=9, lease_ms=600_000)).tasks:
        if started.id == "dead":
            end = Settlement("default", "dead", started.token, "dead", EVIL, EVIL, f"Traceback\n  {EVIL}\n")
            client.transport.send(protocol.settle(client.cell, [end]))
        else:
            store.redis.hset(store.key("task:default:runs"), "worker", EVIL)
    client.cancel("waits", reason=EVIL)
    store.redis.set(store.key("fact:f"), EVIL)
    store.redis.sadd(store.key("queues"), f"q{EVIL}")
    raw = {"type": f"t{EVIL}", "payload": EVIL, "reason": EVIL, "tags": EVIL, "key": EVIL, "content_type": EVIL}
    store.redis.hset(store.key("task:default:raw"), mapping=raw)
    store.redis.zadd(store.key("due:default"), {f"bad{EVIL}": 0, "raw": 9_000_000_000_000})
    store.redis.zadd(store.key("due:default"), {"raw": store.now_ms() + 9_000_000})
    client.transport.send(protocol.promote([keys], mover="m"))
    client.pause("default", type="mail", reason=EVIL, force=True)
    task = {"type": "mail", "payload": EVIL}
    client.schedules.put(schedule_of({"id": "s", "task": task, "every": "1h", "description": EVIL}))
    client.schedules.pause("s", reason=EVIL)
    store.redis.hset(store.key("schedule:odd"), mapping={"spec": EVIL, "type": EVIL, "payload": EVIL})
    store.redis.zadd(store.key("schedules"), {"odd": 0})
    store.redis.hset(store.key("calendars"), mapping={f"c{EVIL}": EVIL})
    store.redis.xadd(store.key("events"), {"event": f"e{EVIL}", "queue": "default", "id": "dead", "x": EVIL})


COMMANDS = [
    *(("task", "ls", "--state", state) for state in ("scheduled", "dead", "running", "cancelled")),
    *(("task", "show", task_id) for task_id in ("dead", "waits", "runs", "raw", EVIL)),
    *(("task", "explain", task_id) for task_id in ("dead", "waits", "runs", "raw", EVIL)),
    ("task", "tree", "raw"), ("task", "cancel", EVIL), ("task", "cancel", "no-such"), ("task", "add", EVIL),
    ("task", "add", "log", "--at", EVIL), ("task", "add", "log", "--priority", EVIL), ("task", EVIL),
    ("dead", "ls"), ("dead", "show", "dead", "--reveal"), ("dead", "show", "runs"),
    ("quarantine", "ls"), ("quarantine", "drop", "-y", EVIL), ("quarantine", "requeue", f"bad{EVIL}"),
    ("queue", "ls"), ("queue", "paused"), ("queue", "paused", "default"), ("queue", "resume", EVIL),
    *(("schedule", "show", name) for name in ("s", "odd", EVIL)), ("schedule", "ls"), ("schedule", "preview", EVIL),
    ("schedule", "apply", "-f", f"/tmp/{EVIL}.toml"),
    ("calendar", "ls"), ("calendar", "rm", EVIL), ("rule", "show", EVIL), ("rule", "ls"),
    ("emit", "e", "x", "-d", '"x"'), ("emit", EVIL), ("doctor", "--pause", "0"), ("install",),
]  # fmt: skip


@pytest.mark.parametrize("form", [(), ("-o", "json")], ids=["people", "json"])
def test_no_command_sends_a_control_character_that_it_has_read(valkey_store: Store, form: tuple[str, ...]) -> None:
    assert valkey_store.url is not None
    with valkey_store.client() as client:
        hostile(valkey_store, client)
    seen = ""
    for command in COMMANDS:
        arguments = ["-r", valkey_store.url, "--namespace", valkey_store.namespace, *command, *form]
        result = CliRunner().invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), (command, repr(result.exception))
        assert SENT.search(result.stdout) is None, (command, result.stdout)
        assert SENT.search(result.stderr) is None, (command, result.stderr)
        seen += result.stdout
    assert ("\\x1b]0;owned" if form == () else "\\u001b]0;owned") in seen


def test_what_is_shown_can_be_read_and_a_traceback_keeps_its_lines() -> None:
    assert shown("Grüße, 世界 🎉 a\\b") == "Grüße, 世界 🎉 a\\b"
    assert shown("a\nb\x1b[1m\x9b\u202e\ud800") == "a\\nb\\x1b[1m\\x9b\\u202e\\ud800"
    assert shown(Lines("a\n b\x1b\r\n")) == "a\n b\\x1b\\r\n"


def test_only_one_module_of_the_command_line_writes_to_the_screen() -> None:
    folder = Path(redsched.__file__).parent / "cli"
    echoes = {path.name for path in folder.glob("*.py") if re.search(r"click\.echo\([^)]", path.read_text())}
    # deploy prints the Lua of this installation, invocation names of variables without control characters
    assert echoes == {"render.py", "deploy.py", "invocation.py"}

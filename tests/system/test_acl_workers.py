"""The Redis users of those who run tasks and of those who look: workers with their movers, and observers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redsched import App, Client, Settings
from redsched.engine.mover import Mover
from redsched.engine.worker import Worker
from redsched.model.errors import StoreDenied
from redsched.wire import acl, protocol
from redsched.wire.keys import queue_keys
from tests.support import servers
from tests.support.acl_users import QUEUE, Users, denied
from tests.support.processes import Redsched

app = App(name="acl")


@app.task("send", queue=QUEUE)
async def send(value: int) -> int:
    """Completes."""
    return value + 1


@app.task("fail", queue=QUEUE)
async def fail() -> None:
    """Fails."""
    raise ValueError("it broke")


async def _life(users: Users) -> Worker:
    """Enqueue, claim, run, settle, retry, renew and cancel, all as the worker's user; two movers, one beside it."""
    worker = Worker(app, users.settings("worker", lease_ms=6_000), mover=False)
    mover = Mover(users.settings("worker"), at_home=[QUEUE])
    moving, working = asyncio.create_task(mover.run()), asyncio.create_task(worker.run())
    try:
        from redsched import AsyncClient

        async with AsyncClient(settings=users.settings("worker")) as client:
            await client.enqueue("send", {"value": 1}, queue=QUEUE, id="now")
            await client.enqueue("send", {"value": 1}, queue=QUEUE, id="soon", delay="200ms")
            await client.enqueue("fail", queue=QUEUE, id="fails", max_attempts=2, retry=["10ms"])
            await client.enqueue("send", {"value": 1}, queue=QUEUE, id="far", delay="1h")
            users.store.redis.xadd(users.key("inbox:q"), {"id": "letter", "type": "send", "payload": '{"value":5}'})
            async with asyncio.timeout(60):
                while True:
                    found = await client.show(["now", "soon", "fails", "letter"], queue=QUEUE)
                    if [view.state if view else "" for view in found.values()] == [
                        "completed",
                        "completed",
                        "dead",
                        "completed",
                    ]:
                        break
                    await asyncio.sleep(0.02)
            assert await client.cancel("far", queue=QUEUE) == {"far": "cancelled"}
            assert await client.revive("fails", queue=QUEUE, delay="1h") == {"fails": "revived"}
            assert await client.reschedule("fails", queue=QUEUE, delay="2h") == {"fails": "rescheduled"}
            assert await client.update("fails", queue=QUEUE, key="k") == {"fails": "updated"}
            assert await client.cancel("fails", queue=QUEUE) == {"fails": "cancelled"}
            assert await client.drop(["far", "now"], queue=QUEUE) == {"far": "dropped", "now": "dropped"}
            assert (await client.quarantined(QUEUE)).items == []
            assert [stats.queue for stats in await client.stats([QUEUE])] == [QUEUE]
            assert mover.standing.armed, "CLIENT TRACKING is refused"
        assert all(loop.healthy for loop in (mover.promotions.loop, mover.discovery.loop, worker._trips.loop))
    finally:
        worker.stop()
        mover.stop()
        await asyncio.gather(moving, working)
    return worker


def test_the_whole_life_of_tasks_runs_as_the_worker(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    before = len(users.store.redis.acl_log())

    asyncio.run(_life(users))

    refused = [
        entry
        for entry in users.store.redis.acl_log()[: max(0, len(users.store.redis.acl_log()) - before)]
        if entry["username"] == users.name("worker") and entry["object"] != "scan"
    ]
    assert refused == []
    assert [line for line in caplog.messages if "refused" in line or "interrupted" in line or "blind" in line] == []


def test_a_worker_process_runs_as_the_worker(users: Users) -> None:
    arguments = ("--namespace", users.store.namespace, "worker", "tests.apps.ledger:app", "-q", QUEUE, "--burst")
    with users.client("producer") as client:
        client.enqueue("add", {"a": 1, "b": 2}, queue=QUEUE, id="a")
    with Redsched("-r", users.url("worker"), *arguments) as process:
        assert process.wait(60) == 0, process.said()
    with users.client("observer") as client:
        assert client.task("a", queue=QUEUE).result == {"sum": 3}


def test_the_worker_may_not_forge_time_or_rewrite_the_contract(users: Users) -> None:
    with users.connect("worker") as connection:
        denied(connection, "HSET", users.key("meta"), "virtual_clock", "1")
        denied(connection, "FUNCTION", "LOAD", "REPLACE", "#!lua name=redsched1\nreturn 1")
        denied(connection, "SUBSCRIBE", "elsewhere")
        denied(connection, "DEL", users.key("due:q"))


def test_a_worker_that_may_not_put_the_schedule_of_another_queue_works_all_the_same(users: Users) -> None:
    planned = App()
    planned.task("elsewhere", queue="other", every="1h")(fail)
    planned.task("send", queue=QUEUE, every="1h")(send)
    with users.client("worker") as client:
        made = client.enqueue("send", {"value": 1}, queue=QUEUE)
        asyncio.run(asyncio.wait_for(Worker(planned, users.settings("worker"), burst=True).run(), 60))

        assert client.task(made.id, queue=QUEUE).state == "completed"
        assert [view.schedule.id for view in client.schedules.list().items] == ["send"]


def test_the_worker_does_everything_with_schedules_and_the_observer_looks(users: Users) -> None:
    schedules, due, now = users.key("schedules"), users.key("due:q"), "0"
    spec = '{"every":[{"every":60000}],"overlap":"terminate_other"}'
    put = ("rs1_put_schedule", 1, due, now, "s", "", spec, "type", "send", "payload", "1")
    writes: list[tuple[Any, ...]] = [
        put,
        ("rs1_fire", 1, due, now, 1, "s", "1", "", "every", "", 0, "", 1, 1_000_000_000_000, 1_000_000_000_000),
        ("rs1_trigger", 1, due, now, "s", "", ""),
        ("rs1_pause_schedule", 1, schedules, now, "s", "", 0),
        ("rs1_resume_schedule", 1, schedules, now, "s"),
        ("rs1_put_calendar", 1, schedules, "de", "[]"),
        ("rs1_drop_schedule", 1, schedules, now, "s"),
    ]
    reads: list[tuple[Any, ...]] = [
        ("rs1_due_schedules", 1, schedules, now, 10),
        ("rs1_show_schedules", 1, schedules, now, "", 10),
        ("rs1_calendars", 1, schedules),
    ]
    with users.connect("worker") as worker, users.connect("observer") as observer:
        for command in writes:
            denied(observer, "FCALL", *command)
            assert worker.execute_command("FCALL", *command)
            for look in reads:
                observer.execute_command("FCALL_RO", *look)
        assert worker.execute_command("FCALL", *put)[0] == "created"
        assert observer.hgetall(users.key("schedule:s"))["task:type"] == "send"
        for key in ("schedules", "schedule:s", "calendars"):
            denied(observer, "UNLINK", users.key(key))
    for role in ("producer", "producer-raw", "inbox"):
        with users.connect(role) as connection:
            denied(connection, "FCALL", *put)
            for command in (
                ("HSET", "schedule:s", "spec", "x"),
                ("HGETALL", "schedule:s"),
                ("HGETALL", "calendars"),
                ("ZADD", "schedules", 0, "s"),
                ("HSET", "calendars", "de", "[]"),
            ):
                denied(connection, command[0], users.key(str(command[1])), *command[2:])
    assert users.store.redis.exists(schedules, users.key("schedule:s"), users.key("calendars")) == 3


def test_the_observer_reads_everything_and_changes_nothing(users: Users) -> None:
    with users.client("worker") as client:
        client.enqueue("t", {"code": 1}, queue=QUEUE, id="a", delay="1h")
    with users.client("observer") as client:
        assert client.task("a", queue=QUEUE).payload == {"code": 1}
        assert [view.id for view in client.list(QUEUE).items] == ["a"]
        assert client.stats(client.queues())[0].scheduled == 1
        assert client.quarantined(QUEUE).items == []
        assert client.ping().role == "master"
        for act in (client.cancel, client.revive, client.drop, client.requeue):
            with pytest.raises(StoreDenied):
                act("a", queue=QUEUE)
        with pytest.raises(StoreDenied):
            client.enqueue("t", queue=QUEUE)
    with users.connect("observer") as connection:
        assert connection.hgetall(users.key("task:q:a"))["type"] == "t"
        assert connection.zcard(users.key("due:q")) == 1
        for command in (
            ("HSET", "task:q:a", "f", "v"),
            ("ZADD", "due:q", 0, "b"),
            ("XADD", "events", "*", "a", "b"),
            ("DEL", "task:q:a"),
            ("ZREM", "due:q", "a"),
            ("SADD", "queues", "z"),
            ("UNLINK", "due:q"),
        ):
            denied(connection, command[0], users.key(command[1]), *command[2:])
        denied(connection, "FCALL", "rs1_cancel", 1, users.key("due:q"), 0, "", "a")
        denied(connection, "FCALL_RO", "rs1_cancel", 1, users.key("due:q"), 0, "", "a")


def test_the_observer_has_no_command_that_writes(users: Users) -> None:
    named = [name for name in acl.role("observer", "n", [QUEUE]).commands if not name.startswith("fcall")]
    found = users.store.redis.execute_command("COMMAND", "INFO", *named)

    flags = found if isinstance(found, dict) else {row[0]: row[2] for row in found}
    writers = [name for name, row in flags.items() if "write" in (row["flags"] if isinstance(row, dict) else row)]
    assert writers == []


def test_a_worker_in_another_language_may_end_its_blocking_read(users: Users) -> None:
    with users.connect("worker") as reader, users.connect("worker") as other:
        assert other.execute_command("CLIENT", "UNBLOCK", reader.client_id()) == 0  # it does not block now


def test_the_worker_works_in_another_database_than_0(users: Users) -> None:
    settings = Settings(
        redis_url=users.url("worker").replace("/0", "/5"), namespace=users.store.namespace, queues=(QUEUE,)
    )
    with Client(settings=settings) as client:
        made = client.enqueue("send", 2, queue=QUEUE)

        assert asyncio.run(asyncio.wait_for(Worker(app, settings, burst=True).run(), 60)) == 0

        assert client.task(made.id, queue=QUEUE).result == 3
    with servers.connect(str(users.store.url).replace("/0", "/5")) as connection:
        connection.flushdb()


def test_a_worker_with_the_rights_of_an_older_redsched_goes_on_and_does_not_see_that_everything_is_paused(
    users: Users,
) -> None:
    name = users.name("worker")
    rules = acl.role("worker", users.store.namespace, [QUEUE]).line(name).replace(f" ~{users.key('paused')} ", " ")
    users.store.redis.execute_command(*rules.replace(f">{acl.SECRET}", ">pw-worker").split())
    with users.client("worker") as client:
        made = [client.enqueue("send", queue=QUEUE, id=name) for name in "ab"]
        with pytest.raises(StoreDenied):
            client.pause_all(reason="x")
        keys = queue_keys(client.cell, QUEUE)
        client.transport.send(protocol.promote([keys], mover="m"))
        claimed = client.transport.send(protocol.claim([keys], consumer="w", count=5, lease_ms=30_000))
        assert client.explain("a", queue=QUEUE).state == "running"

    assert [task.id for task in claimed.tasks] == [one.id for one in made]

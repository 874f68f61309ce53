"""Tasks that functions of ``@app.task`` make, from the call to the result."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pydantic
import pytest

from redsched import (
    App,
    AsyncClient,
    Client,
    Context,
    InvalidTask,
    Reject,
    Task,
    TaskNotCompleted,
    TaskNotEnded,
    TaskNotFound,
)
from redsched.engine.worker import Worker
from redsched.settings import Settings
from tests.support.servers import Store

app = App("submission")


class Receipt(pydantic.BaseModel):
    """What a handler is given and gives back."""

    phone: str
    cents: int


@app.task("otp.send", queue="otp", timeout="10s", max_attempts=3)
async def send_otp(ctx: Context, phone: str) -> str:
    """Says what it was given."""
    return f"{phone} {ctx.attempt}"


@app.task("bill", queue="otp")
def bill(receipt: Receipt) -> Receipt:
    """Twice as much."""
    return Receipt(phone=receipt.phone, cents=receipt.cents * 2)


@app.task("fail", queue="otp")
def fail(how: str) -> None:
    """Ends as a dead letter."""
    raise Reject(how, reason="no such number")


def test_enqueue_takes_a_name_a_task_or_a_function(valkey_store: Store) -> None:
    with valkey_store.client() as client:
        made = [
            client.enqueue("otp.send", {"phone": "1"}, queue="otp"),
            client.enqueue(type="otp.send", payload={"phone": "2"}, queue="otp", durability="memory"),
            client.enqueue(Task(type="otp.send", payload={"phone": "3"}, queue="otp"), durability="memory"),
            client.enqueue(send_otp, phone="4"),
            client.enqueue(send_otp.options(delay="1h", max_attempts=9), "5"),
            *client.enqueue_many([send_otp.options(unless="paid:1").task("6"), send_otp.task("7")]),
        ]
        views: list[Any] = list(client.show([one.id for one in made], queue="otp").values())

    assert [view.payload["phone"] for view in views] == ["1", "2", "3", "4", "5", "6", "7"]
    plain, typed = (None, None), (3, 10_000)
    found = [(view.max_attempts, view.timeout_ms) for view in views]
    assert found == [plain, plain, plain, typed, (9, 10_000), typed, typed]
    assert [view.state for view in views[4:6]] == ["scheduled", "ready"]


def test_a_model_goes_to_the_handler_and_its_result_comes_back(valkey_store: Store) -> None:
    assert valkey_store.url
    settings = Settings(redis_url=valkey_store.url, namespace=valkey_store.namespace, queues=("otp",))
    with valkey_store.client() as client:
        made = [client.enqueue(bill, Receipt(phone="+49", cents=5)), client.enqueue(send_otp, "+49")]

        asyncio.run(asyncio.wait_for(Worker(app, settings, burst=True).run(), 60))

        views: list[Any] = list(client.show([one.id for one in made], queue="otp").values())
    assert [view.result for view in views] == [{"phone": "+49", "cents": 10}, "+49 1"]


def test_whoever_waits_for_a_task_gets_its_result_or_why_there_is_none(valkey_store: Store) -> None:
    assert valkey_store.url
    settings = Settings(redis_url=valkey_store.url, namespace=valkey_store.namespace, queues=("otp",))

    async def run() -> tuple[Any, TaskNotCompleted, TaskNotCompleted]:
        async with AsyncClient(settings=settings) as client:
            made = [await client.enqueue(send_otp, "+49"), await client.enqueue(fail, "+49")]
            late = await client.enqueue(send_otp.options(delay="1h"), "+49")
            waits = [client.wait(one.id, "60s", queue="otp") for one in (*made, late)]
            waiting = asyncio.gather(*waits, return_exceptions=True)
            await Worker(app, settings, burst=True).run()
            await client.cancel(late.id, queue="otp", reason="paid")
            result, failed, cancelled = await waiting
            return result, failed, cancelled  # type: ignore[return-value]

    result, failed, cancelled = asyncio.run(asyncio.wait_for(run(), 90))

    assert result == "+49 1"
    assert (failed.state, failed.reason, failed.error) == ("dead", "no such number", "+49")
    assert "+49" not in str(failed)
    assert (cancelled.state, cancelled.reason) == ("cancelled", "paid")


def test_waiting_has_an_end_and_the_task_goes_on(valkey_store: Store) -> None:
    with valkey_store.client() as client:
        made = client.enqueue("otp.send", {"phone": "1"}, delay="1h")

        for timeout in ("30ms", timedelta(0)):
            with pytest.raises(TaskNotEnded, match="has not ended in time: it is scheduled, and goes on") as caught:
                client.wait(made.id, timeout)
            assert isinstance(caught.value, TimeoutError)
        with pytest.raises(TaskNotFound):
            client.wait("nobody", "1s")
        assert client.task(made.id).state == "scheduled"


@pytest.mark.parametrize("timeout", [5, 5.0, "5"])
def test_a_bare_number_is_no_time_to_wait(timeout: Any) -> None:
    with pytest.raises(InvalidTask, match=r'timeout: is a bare number; write "5s" or timedelta\(seconds=5\)'):
        Client("redis://127.0.0.1:1").wait("x", timeout)

"""Tasks that functions of ``@app.task`` make, from the call to the result."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic

from redsched import App, Context, Task
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

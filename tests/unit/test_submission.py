"""Functions of ``@app.task`` make tasks: from the handler's own arguments, with the decorator's defaults."""

from __future__ import annotations

import functools
import inspect
import pickle
import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from redsched import App, Client, Conditions, Context, Exponential, InvalidTask, Task, WaitFor
from redsched.wire.codec import json_bytes
from tests.support.type_checkers import mypy, pyright

app = App("submission")


@app.task("otp.send", queue="otp", timeout="10s", max_attempts=3, retry=Exponential(base="2s"), expires_in="2m")
async def send_otp(ctx: Context, phone: str, code: str = "0000") -> str:
    """Says what it was given."""
    return phone + code


DEFAULTS: dict[str, Any] = {
    "type": "otp.send", "queue": "otp", "timeout": timedelta(seconds=10), "max_attempts": 3,
    "retry": Exponential(base="2s"), "expires_in": "2m",
}  # fmt: skip


@app.task("sum")
def add(a: int, *, b: int = 1, **more: int) -> int:
    """Its arguments, together."""
    return a + b + sum(more.values())


def refusal(call: Any) -> str:
    with pytest.raises(InvalidTask) as caught:
        call()
    return str(caught.value)


def test_a_registered_function_is_the_same_function() -> None:
    assert add(1, b=2, c=3) == 6
    assert inspect.isfunction(send_otp) and inspect.iscoroutinefunction(send_otp)
    assert send_otp is app.tasks["otp.send"].handler.function
    assert pickle.loads(pickle.dumps(add)) is add


def test_its_arguments_are_the_payload_and_its_decorator_gives_the_rest() -> None:
    assert send_otp.task("+49", code="1") == Task(payload={"phone": "+49", "code": "1"}, **DEFAULTS)
    assert send_otp.task(phone="+49") == Task(payload={"phone": "+49"}, **DEFAULTS)
    assert add.task(1, b=2, c=3) == Task(type="sum", payload={"a": 1, "b": 2, "c": 3}, queue="default")


def test_what_the_caller_says_wins_over_the_decorator() -> None:
    urgent = send_otp.options(queue="fast", timeout="1s", max_attempts=1, delay="5s", unless="paid:42")

    made = urgent.task("+49")

    said: dict[str, Any] = {"queue": "fast", "timeout": "1s", "max_attempts": 1, "delay": "5s", "unless": "paid:42"}
    said["expires_in"] = timedelta(seconds=125)  # two minutes from its due time on
    assert made == Task(payload={"phone": "+49"}, **(DEFAULTS | said))
    assert send_otp.task("+49").queue == "otp"
    assert urgent.options(queue="last").task("+49") == Task(
        payload={"phone": "+49"}, **(DEFAULTS | said | {"queue": "last"})
    )
    assert send_otp.options(expires_at=2_000_000_000_000).task("+49").expires_in is None
    assert refusal(lambda: send_otp.options(colour="red").task("+49")).startswith("colour: is no field of a task")  # type: ignore[call-arg]


def test_a_task_that_is_held_gets_no_start_by_of_the_decorator() -> None:
    assert send_otp.options(after="other").task("+49").expires_in is None
    assert send_otp.options(after="other", expires_in="1h").task("+49").expires_in == "1h"
    assert send_otp.options(unless="paid:1").task("+49").expires_in == "2m"


def test_wrong_arguments_are_refused_and_fields_of_the_task_are_shown_their_place() -> None:
    assert "missing a required argument: 'phone'" in refusal(send_otp.task)
    assert "unexpected keyword argument 'ctx'" in refusal(lambda: send_otp.task("+49", ctx=None))  # type: ignore[call-arg]
    assert ".options(delay=...)" in refusal(lambda: send_otp.task("+49", delay="5s"))  # type: ignore[call-arg]


def test_a_function_of_two_types_asks_for_a_name() -> None:
    def handler(a: int) -> None: ...

    two = App()
    first = two.task("a")(handler)
    assert first.task(1).type == "a"
    two.task("b")(handler)

    assert "this function handles a, b: name one" in refusal(lambda: first.task(1))
    assert "this function handles a, b: name one" in refusal(lambda: first.options(delay="1s").task(1))


def test_a_wrapper_of_a_registered_function_has_a_type_of_its_own() -> None:
    @functools.wraps(add)
    def wrapped(a: int, **more: int) -> int:
        return add(a, **more)

    assert App().task("wrapped")(wrapped).task(1).type == "wrapped"
    assert add.task(1).type == "sum"


class Sender:
    def send(self, a: int) -> None: ...


def test_a_function_that_takes_no_attributes_is_registered_as_it_is() -> None:
    method = Sender().send
    other = App()

    assert other.task("send")(method) is method
    assert other.tasks["send"].handler.arguments(b'{"a":1}') == {"a": 1}


class Order(pydantic.BaseModel):
    price: Decimal
    on: date = pydantic.Field(alias="onDay")


def test_a_model_is_written_as_the_handler_reads_it() -> None:
    def take(order: Order) -> None: ...

    order = Order(price=Decimal("1.10"), onDay=date(2027, 1, 31))
    made = App()
    payload = json_bytes("payload", made.task("take")(take).task(order).payload, 1_000)

    assert payload == b'{"order":{"price":"1.10","onDay":"2027-01-31"}}'
    take.__annotations__["order"] = Order
    assert made.tasks["take"].handler.arguments(payload) == {"order": order}
    assert "cannot be written as JSON" in refusal(lambda: json_bytes("payload", {"a": object()}, 1_000))


def test_a_task_takes_each_member_of_its_conditions() -> None:
    wait = WaitFor(all=["paid:42"], within="1h")

    assert Task(type="x", wait_for=wait, fifo=True) == Task(type="x", conditions=Conditions(wait_for=wait, fifo=True))
    assert Task(type="x", unless="paid:42").conditions == Conditions(unless="paid:42")
    assert Task(type="x", fifo=False).conditions is None
    assert "give conditions or its members, not both" in refusal(
        lambda: Task(type="x", unless="paid:42", conditions=Conditions(fifo=True))
    )
    assert "Conditions" not in repr(Task(type="x"))


def test_enqueue_refuses_what_it_cannot_read_before_anything_is_written() -> None:
    client: Any = Client("redis://127.0.0.1:1")

    assert "is no type's name, Task or function of @app.task" in refusal(lambda: client.enqueue(5))
    assert "is no type's name" in refusal(client.enqueue)
    assert "is one value" in refusal(lambda: client.enqueue("x", 1, 2))
    assert refusal(lambda: client.enqueue(Task(type="x"), delay="5s")).startswith(
        "delay: enqueue takes a Task as it is"
    )
    assert refusal(lambda: client.enqueue("x", colour=1)).startswith("colour: is no field of a task")


class Mail(msgspec.Struct):
    to: str


def test_a_batch_handler_makes_tasks_of_whole_payloads() -> None:
    made = App()

    @made.batch("mail", size=5, queue="mails", max_attempts=2)
    async def send(batch: list[tuple[Context, Mail]]) -> None: ...

    assert send.task(Mail("a")) == Task(type="mail", queue="mails", max_attempts=2, payload=Mail("a"))
    assert send.task(payload=Mail("a")) == send.task(Mail("a"))
    assert send.options(delay="5s", max_attempts=3).task(Mail("b")).max_attempts == 3
    assert send.options(delay="5s").options(unless="x").task(Mail("b")).delay == "5s"
    untyped: Any = send
    assert "mail: missing a required argument: 'payload'" in refusal(untyped.task)
    assert ".options(delay=...)" in refusal(lambda: untyped.task(Mail("a"), delay="5s"))
    assert made.batch("other")(untyped) is send
    assert "this function handles mail, other: name one" in refusal(lambda: send.task(Mail("a")))


MISTAKES = """
# pyright: strict, reportUnusedVariable=false
import msgspec
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from redsched import App, AsyncClient, Client, Context, Rule, Schedule, Task, TaskTemplate

app = App("x")

@app.task("otp.send", queue="otp")
async def send_otp(ctx: Context, phone: str, code: int = 0) -> str:
    return phone

@app.task("add")
def add(a: int, *, b: int) -> int:
    return a + b

@app.task("late")
def late(a: int, ctx: Context | None = None) -> None: ...

class Mail(msgspec.Struct):
    to: str

@app.batch("mail", size=5)
async def send_mails(batch: list[tuple[Context, Mail]]) -> list[object]:
    return []

@app.batch("plain")
def of_anything(batch: Sequence[tuple[Context, Any]]) -> None: ...

@app.batch("any")
def of_any(batch: list[Any]) -> None: ...

async def right(ctx: Context, client: Client, other: AsyncClient) -> None:
    text: str = await send_otp(ctx, "+49")
    number: int = add(1, b=2)
    client.enqueue("otp.send", {"phone": "+49"}, delay="5s", durability="fsync")
    client.enqueue(send_otp, "+49", code=1)
    client.enqueue(send_otp.options(delay="5s", unless="paid:42"), phone="+49")
    client.enqueue(late, 1)
    await other.enqueue(add, 1, b=2)
    await other.enqueue(send_otp.task(phone="+49"), durability="fsync")
    Schedule(id="s", every=timedelta(hours=1), jitter=timedelta(seconds=1), task=TaskTemplate(type="t", timeout="1m"))
    Rule(on="paid", task=TaskTemplate(type="t"), delay="1h")
    outcomes: list[object] = await send_mails([(ctx, Mail("a"))])
    client.enqueue(send_mails, Mail("a"))
    client.enqueue(send_mails.options(delay="5s"), Mail("a"))
    client.enqueue_many([send_mails.task(Mail("a")), of_anything.task({"a": 1})])
    await other.enqueue(of_anything, [1])
    client.enqueue_many([add.task(1, b=2), Task(type="x", unless="paid:42")])

async def wrong(ctx: Context, client: Client, other: AsyncClient) -> None:
    client.enqueue(send_otp)  # refused
    client.enqueue(send_otp, phone=5)  # refused
    client.enqueue(send_otp, "+49", cod=1)  # refused
    client.enqueue(send_otp, ctx, "+49")  # refused
    client.enqueue(send_otp, "+49", delay="5s")  # refused
    client.enqueue(send_otp.options(delay="5s"), 5)  # refused
    client.enqueue(send_otp.options(dela="5s"), "+49")  # refused
    send_otp.task(phone=5)  # refused
    await other.enqueue(add, 1, b="2")  # refused
    await other.enqueue(add, 1)  # refused
    add.task(1, 2)  # refused
    add("1", b=2)  # refused
    client.enqueue("otp.send", colour="red")  # refused
    client.enqueue("otp.send", priority="urgent")  # refused
    client.enqueue(5)  # refused
    Task(type="x", priority="urgent")  # refused
    number: int = await send_otp(ctx, "+49")  # refused
    client.list(state="redy")  # refused
    client.bulk("revise")  # refused
    client.enqueue("otp.send", durability="fsnc")  # refused
    client.chain([], otherwise="stop")  # refused
    client.schedules.trigger("x", overlap="never")  # refused
    client.enqueue("otp.send", delay=5)  # refused
    client.emit("paid", ttl=60_000)  # refused
    Task(type="x", retry=[5, 60])  # refused
    app.task("y", timeout=30)  # refused
    client.wait("a", 30)  # refused
    client.revive("a", delay=5)  # refused
    Schedule(id="s", every=5, task=TaskTemplate(type="t"))  # refused
    Schedule(id="s", every="5s", jitter=5, task=TaskTemplate(type="t"))  # refused
    TaskTemplate(type="t", timeout=30)  # refused
    Rule(on="paid", task=TaskTemplate(type="t"), delay=60)  # refused
    send_mails.task("a")  # refused
    send_mails.task()  # refused
    send_mails.task(Mail("a"), 5)  # refused
    client.enqueue(send_mails, {"to": "a"})  # refused
    client.enqueue(send_mails.options(dela="5s"), Mail("a"))  # refused
    await send_mails([Mail("a")])  # refused
    await other.enqueue(send_mails)  # refused
"""


@pytest.mark.slow
@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_type_checker_refuses_wrong_arguments_and_nothing_else(
    check: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "mistakes.py").write_text(MISTAKES)

    told = check(tmp_path)

    found = {int(line) for line in re.findall(r"mistakes\.py:(\d+): ", "\n".join(told))}
    wanted = {number for number, line in enumerate(MISTAKES.splitlines(), 1) if line.endswith("# refused")}
    assert len(wanted) == 39
    assert found == wanted, told

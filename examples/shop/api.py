"""The shop's HTTP interface."""

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from redsched import Client, TaskNotFound

from tasks import send_receipt, send_reminder

api = FastAPI(title="shop")


class Order(BaseModel):
    """What a customer orders."""

    id: str
    email: str
    total: Decimal


ORDERS: dict[str, Order] = {}  # your database stands here


@cache
def shared_client() -> Client:
    """One client for the whole process; it may be used by many threads."""
    return Client()


def client() -> Iterator[Client]:
    """The client of a request; tests give another."""
    yield shared_client()


Tasks = Annotated[Client, Depends(client)]


@api.post("/orders", status_code=201)
def place(order: Order, tasks: Tasks) -> dict[str, str]:
    """Take an order, and remind in an hour unless it is paid by then."""
    ORDERS[order.id] = order
    reminder = send_reminder.options(id=f"{order.id}:remind", delay="1h", unless=f"payment.captured:{order.id}")
    made = tasks.enqueue(reminder, order=order.id, email=order.email)
    return {"order": order.id, "reminder": made.id}


@api.post("/orders/{id}/payment", status_code=202)
def pay(id: str, tasks: Tasks) -> dict[str, str]:
    """The payment has landed: no reminder any more, and a receipt now."""
    if id not in ORDERS:
        raise HTTPException(404, "no such order")
    order = ORDERS[id]
    tasks.emit("payment.captured", id, {"total": str(order.total)})
    made = tasks.enqueue(send_receipt.options(id=f"{id}:receipt"), order=id, email=order.email, total=order.total)
    return {"receipt": made.id}


@api.get("/orders/{id}/reminder")
def reminder(id: str, tasks: Tasks) -> dict[str, str]:
    """Why the reminder of an order was sent, or was not."""
    try:
        return {"reminder": tasks.explain(f"{id}:remind", queue="mail").text}
    except TaskNotFound:
        raise HTTPException(404, "no reminder is known for this order") from None

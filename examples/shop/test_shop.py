"""The shop from a customer's side: real scripts, in memory, with a clock that the test moves."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest
from fastapi.testclient import TestClient as HttpClient
from redsched.testing import TestClient, make_context

from api import api, client
from tasks import app, send_receipt


@pytest.fixture
def shop() -> Iterator[TestClient]:
    """The tasks of an empty shop, at ten in the morning."""
    with TestClient(app, start="2027-01-15T10:00:00Z") as tasks:
        api.dependency_overrides[client] = lambda: tasks
        yield tasks
        api.dependency_overrides.clear()


def order(http: HttpClient, id: str, email: str = "ada@example.com") -> None:
    """Place an order."""
    answer = http.post("/orders", json={"id": id, "email": email, "total": "12.50"})
    assert answer.status_code == 201


def test_who_has_not_paid_is_reminded_after_an_hour(shop: TestClient) -> None:
    order(HttpClient(api), "order-42")

    assert shop.advance("59m") == []
    (run,) = shop.advance("1m")

    assert (run.type, run.result) == ("mail.reminder", "to ada@example.com: Your order order-42 is still open")


def test_who_has_paid_gets_a_receipt_and_no_reminder(shop: TestClient) -> None:
    http = HttpClient(api)
    order(http, "order-42")
    assert http.post("/orders/order-42/payment").status_code == 202

    runs = shop.advance("90m")

    assert [run.result for run in runs] == ["to ada@example.com: Thank you for order-42: 12.50 EUR"]
    assert "payment.captured:order-42" in http.get("/orders/order-42/reminder").json()["reminder"]


def test_an_address_that_is_none_is_a_dead_letter_at_once(shop: TestClient) -> None:
    http = HttpClient(api)
    order(http, "order-43", email="nobody")
    http.post("/orders/order-43/payment")

    (run,) = shop.run_due()

    assert (run.outcome, run.attempt) == ("dead", 1)


def test_the_report_comes_every_morning_at_nine_in_berlin(shop: TestClient) -> None:
    runs = shop.advance(days=2)

    assert [run.at.hour for run in runs if run.type == "report.daily"] == [8, 8]  # UTC, in winter


def test_a_handler_by_itself() -> None:
    text = asyncio.run(send_receipt(make_context(), "order-42", "ada@example.com", Decimal(12)))

    assert text == "to ada@example.com: Thank you for order-42: 12.00 EUR"

"""The subject of an id, of a key and of a fact: what decides where each of them lives."""

from __future__ import annotations

import pytest

from redsched.model.condition import fact_name
from redsched.model.subject import subject_of_fact, subject_of_id, subject_of_key
from redsched.wire.cells import home
from redsched.wire.ids import new_ids


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("order-42", "order-42"),  # no colon
        ("order-42:remind", "order-42"),
        ("order-42:remind:2", "order-42"),
        ("order-42:", "order-42"),  # an empty part after it
        ("order-42::2", "order-42"),
        (":order-42", ""),  # colon first
        (":", ""),
        ("", ""),
        ("bestellung-ä:mahnen", "bestellung-ä"),
        ("注文:再送", "注文"),
        ("order-42：remind", "order-42：remind"),  # U+FF1A is no colon
        ("0-0190f1d2c0007abc8def0123456789ab", "0-0190f1d2c0007abc8def0123456789ab"),
    ],
)
def test_the_subject_of_an_id_and_of_a_key_ends_at_its_first_colon(name: str, subject: str) -> None:
    assert subject_of_id(name) == subject
    assert subject_of_key(name) == subject


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("payment.captured:order-42", "order-42"),
        ("payment.captured:order-42:eur", "order-42"),
        ("payment.captured:order-42:", "order-42"),
        ("payment.captured", ""),  # no colon
        ("payment.captured:", ""),  # an empty part
        ("payment.captured::eur", ""),
        (":order-42", "order-42"),  # colon first
        (":", ""),
        ("", ""),
        ("zahlung:bestellung-ä:eur", "bestellung-ä"),
        ("支払い:注文", "注文"),
        ("payment：captured:order-42", "order-42"),
    ],
)
def test_the_subject_of_a_fact_lies_between_its_first_colon_and_the_next(name: str, subject: str) -> None:
    assert subject_of_fact(name) == subject


def test_a_task_its_key_and_the_facts_about_it_have_one_subject() -> None:
    fact = fact_name("payment.captured", "order-42")

    assert subject_of_fact(fact) == subject_of_id("order-42:remind") == subject_of_key("order-42") == "order-42"
    assert subject_of_fact(fact_name("shop.closed")) == ""


@pytest.mark.parametrize("cell", [0, 5, 63])
def test_what_is_about_a_task_that_redsched_named_lives_where_that_task_does(cell: int) -> None:
    (made,) = new_ids(1, cell)

    assert [home(task_id, 64) for task_id in (made, f"{made}:receipt", f"{made}:receipt:2")] == [cell] * 3

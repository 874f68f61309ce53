"""The words of a search: what they ask for, and which of them is wrong."""

from __future__ import annotations

import pytest

from redsched.model.errors import InvalidTask
from redsched.model.search import Search, Within, search_of
from redsched.wire.cells import Cell
from redsched.wire.keys import CellKeys
from redsched.wire.search import cursor_of, cursor_text, find

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order-42", Search(subject="order-42")),
        ("order-42:remind", Search(id="order-42:remind")),
        ("id:plain subject:x", Search(id="plain", subject="x")),
        ("tag:merchant:M tag:'two words' key:k", Search(tags=("merchant:M", "two words"), key="k")),
        ("type:t queue:q reason:attempts", Search(type="t", queue="q", reason="attempts")),
        ("state:dead,finished", Search(states=("dead", "finished"))),
        ("state:waiting,ready", Search(states=("scheduled", "held", "ready"))),
        ("due:<1h", Search(due=Within(until=f"+{HOUR}"))),
        ("due:>=1h", Search(due=Within(since=f"+{HOUR}"))),
        ("due:<-1h", Search(due=Within(until=f"-{HOUR}"))),
        ("due:1h..2h", Search(due=Within(f"+{HOUR}", f"+{2 * HOUR}"))),
        ("due:..2h", Search(due=Within(None, f"+{2 * HOUR}"))),
        ("created:<1h", Search(created=Within(since=f"-{HOUR}"))),
        ("ended:>1h", Search(ended=Within(until=f"-{HOUR}"))),
        ("ended:1h..2h", Search(ended=Within(f"-{2 * HOUR}", f"-{HOUR}"))),
        ("ended:>2027-01-31T09:00:00Z", Search(ended=Within(since="1801386000000"))),
        ("created:<2027-01-31T09:00:00Z", Search(created=Within(until="1801386000000"))),
        ("due:1h..1h", Search(due=Within(f"+{HOUR}", f"+{HOUR}"))),
        ("due:-1h..1h", Search(due=Within(f"-{HOUR}", f"+{HOUR}"))),
        ("", Search()),
    ],
)
def test_words_ask_for(text: str, expected: Search) -> None:
    assert search_of(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tga:x", "tga: is no name; did you mean tag:?"),
        ("State:dead", "State: is no name; did you mean state:?"),
        ("state:deaf", "state:deaf is none of scheduled"),
        ("tag:", "tag: has no value"),
        ("type:a type:b", "type: is given twice"),
        ("a b", "subject: is given twice"),
        ("due:soon", "due:soon is no time"),
        ("due:<soon", "due:soon is no time"),
        ("due:..", "due:.. is no time"),
        ("due:1h", "due:1h is no time"),
        ("due:2h..1h", "due:2h..1h ends before it begins; write due:1h..2h"),
        ("created:2h..1h", "created:2h..1h ends before it begins; write created:1h..2h"),
        ("due:1h..-1h", "due:1h..-1h ends before it begins"),
        ("ended:2027-02-01T00:00:00Z..2027-01-01T00:00:00Z", "ends before it begins"),
        ("tag:'x", "has a quotation mark"),
        ("due:<5", "due:5 is a bare number; write <5s, <5m, <5h or an instant such as"),
        ("due:<-5", "due:-5 is a bare number; write <5s"),
        ("due:1h..90", "due:90 is a bare number"),
        ("created:>3600000", "created:3600000 is a bare number"),
        ("created:<-1h", "created:-1h is no age, for it lies in the future; write <1h, >1h or an instant such as"),
        ("ended:>-2d", "ended:-2d is no age"),
        ("ended:-1h..2h", "ended:-1h is no age"),
        ("state:quarantine", "state:quarantine is in no search: what was set aside is no task; see redsched"),
        ("state:dead,quarantined", "see redsched quarantine ls -q QUEUE, client.quarantined(queue)"),
    ],
)
def test_an_error_names_the_word(text: str, problem: str) -> None:
    with pytest.raises(InvalidTask) as raised:
        search_of(text)

    assert problem in raised.value.problem


@pytest.mark.parametrize(
    "where",
    [
        Search(tags=("",)),
        Search(tags=("x" * 513,)),
        Search(key="two words"),
        Search(subject="a:b"),
        Search(id="two words"),
        Search(type="two words"),
        Search(queue=""),
    ],
)
def test_a_value_that_nothing_can_have_is_refused(where: Search) -> None:
    with pytest.raises(InvalidTask):
        find(CellKeys(Cell("rs")), where)


def test_a_cursor_comes_back_as_it_was() -> None:
    assert cursor_of(cursor_text("tagged:größe\n", "q/a~ b")) == ("tagged:größe\n", "q/a~ b")


@pytest.mark.parametrize("text", ["", "x", "W10", "W10=", "é", "WyJhIiwiYiJd", "x" * 5_000])
def test_a_cursor_that_no_page_answered_is_refused(text: str) -> None:
    with pytest.raises(InvalidTask) as raised:
        cursor_of(text)

    assert raised.value.code == "bad_cursor"

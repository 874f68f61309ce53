"""A task that was moved to another queue, as those see it who still name the old one: by Python, HTTP and the command
line, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from redsched import Client
from tests.support.api_server import ApiServer
from tests.support.command_line import Cli
from tests.support.servers import Store

ID = "order-42:remind"


@pytest.fixture
def client(valkey_store: Store) -> Iterator[Client]:
    with valkey_store.client() as made:
        assert remind(made) == "created"
        assert made.operate("move", "order-42", to="mail").answers == {"moved": 1}
        yield made


def remind(client: Client) -> str:
    """What a producer is answered that knows the old queue only."""
    return client.enqueue("remind", {"n": 1}, id=ID, queue="old", tags=["m:1"], delay="30d").status


def where(client: Client, words: str) -> dict[str, str]:
    """Queue -> state, of the tasks that a search finds."""
    return {item.queue: item.state for item in client.search(words).items}


def test_a_call_that_is_repeated_makes_no_second_task(client: Client) -> None:
    assert remind(client) == "existing"

    assert where(client, ID) == {"mail": "scheduled", "old": "skipped"}


def test_its_subject_shows_the_note_and_its_tags_only_the_task(client: Client, cli: Cli) -> None:
    about = client.subject("order-42")

    assert [(one.queue, one.reason) for one in about.tasks] == [("mail", None), ("old", "moved to mail")]
    assert where(client, "tag:m:1") == {"mail": "scheduled"}
    assert "moved to mail" in cli("find", "order-42")[1]
    assert [one.reason for one in client.list("old", state="skipped").items] == ["moved to mail"]


def test_explain_names_the_new_queue(client: Client) -> None:
    found = client.explain(ID, queue="old")

    assert (found.code, found.state, found.runs_at) == ("moved", "skipped", None)
    assert found.text.startswith(f"{ID} was moved at 20")
    assert found.text.endswith(": queue mail has it since, under the same id; ask there what became of it.")


def test_show_and_explain_without_a_queue_mean_the_task(client: Client, cli: Cli) -> None:
    assert json.loads(cli("task", "show", ID, "-o", "json")[1])["queue"] == "mail"
    assert "it is due at" in cli("task", "explain", ID)[1]
    assert json.loads(cli("task", "show", ID, "-q", "old", "-o", "json")[1])["reason"] == "moved to mail"

    client.cancel(ID, queue="mail")
    client.drop(ID, queue="mail")
    assert json.loads(cli("task", "show", ID, "-o", "json")[1])["queue"] == "old"


def test_who_changes_it_in_its_old_queue_is_told_that_nothing_was_done(client: Client, cli: Cli) -> None:
    assert client.cancel([ID, "nobody"], queue="old") == {ID: "moved", "nobody": "missing"}

    code, out, err = cli("task", "cancel", ID, "-q", "old")
    assert (code, out, err) == (4, f"moved {ID}\n", f"Nothing changed: {ID} was moved to another queue\n")
    assert where(client, ID)["mail"] == "scheduled"


def test_who_names_no_queue_changes_the_task(client: Client) -> None:
    assert client.reschedule(ID, delay="2h") == {ID: "rescheduled"}
    assert client.cancel(ID) == {ID: "cancelled"}

    assert where(client, ID) == {"mail": "cancelled", "old": "skipped"}


def test_http_answers_a_conflict(client: Client, valkey_store: Store) -> None:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as api:
        for verb, body in (("cancel", {}), ("reschedule", {"delay": "1h"}), ("run", {}), ("revive", {})):
            answer = api.post(f"/v1/tasks/{ID}:{verb}?queue=old", body)
            assert (answer.status, answer.json["code"]) == (409, "invalid_state"), verb
            assert "it was moved to another queue; nothing changed" in answer.json["detail"]
        assert api.get(f"/v1/tasks/{ID}?queue=old").json["reason"] == "moved to mail"


def test_a_change_of_many_leaves_the_note_alone(client: Client) -> None:
    for action, words in (("cancel", {}), ("run", {}), ("move", {"to": "third"}), ("priority", {"priority": "low"})):
        found = client.operate(action, "order-42", dry_run=True, **words)  # type: ignore[arg-type]
        assert found.sample == [f"mail/{ID}"], action
    done = client.operate("retag", "order-42", add=["vip"])

    assert done.answers == {"retagged": 1, "moved": 1}
    assert where(client, "tag:vip") == {"mail": "scheduled"}

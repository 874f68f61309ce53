"""Strict calls look at the tasks that schedules and rules make, through every door, before anything is written."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from redsched import App, AsyncClient, Client, Conditions, InvalidSchedule, InvalidTask, Rule, Schedule, Task
from redsched import TaskTemplate as Template
from redsched.cli.main import main
from redsched.model.errors import InvalidSetting
from tests.support.api_server import ApiServer
from tests.support.app_types import put_types
from tests.support.servers import Store

app = App("strict")


@app.task("otp.send", queue="otp")
def send_otp(phone: str, code: str = "0000") -> None: ...


@app.task("only", unknown="refuse")
def only(n: int, text: str) -> None: ...


@pytest.fixture
def store(valkey_store: Store) -> Store:
    """A namespace in which the types of the app have been put."""
    with valkey_store.client() as client:
        put_types(client, app)
    return valkey_store


@pytest.fixture
def strict(store: Store) -> Iterator[Client]:
    """A strict client."""
    with Client(store.url, namespace=store.namespace, strict=True) as client:
        yield client


def written(store: Store) -> list[bytes]:
    """The keys of schedules and rules."""
    return sorted(key for name in ("schedule*", "rule*", "task:*") for key in store.redis.keys(store.key(name)))


BAD = [
    (Template(type="otp.sent"), "task.type", "unknown_type", "did you mean otp.send?"),
    (Template(type="mail", payload={}), "task.type", "unknown_type", "is a type that no worker has put;"),
    (Template(type="otp.send", payload={}), "task.payload", "payload_mismatch", "at $: phone is required;"),
    (
        Template(type="only", payload={"n": "secret", "text": ""}),
        "task.payload",
        "payload_mismatch",
        "at $.n: it must be a whole number",
    ),
]


@pytest.mark.parametrize(("template", "field", "code", "told"), BAD)
def test_a_schedule_of_a_task_that_does_not_fit_is_refused(
    strict: Client, store: Store, template: Template, field: str, code: str, told: str
) -> None:
    good = Schedule(id="good", every="1h", task=Template(type="otp.send", payload="+49"))
    bad = Schedule(id="bad", every="1h", task=template)
    for act in (
        lambda: strict.schedules.put(bad),
        lambda: strict.schedules.apply([good, bad]),
        lambda: strict.schedules.apply([good, bad], dry_run=True),
    ):
        with pytest.raises(InvalidSchedule) as caught:
            act()
        assert (caught.value.field, caught.value.code) == (field, code)
        assert told in str(caught.value) and "secret" not in str(caught.value)
        assert str(caught.value).endswith("; nothing was written")
    assert str(caught.value).startswith(f"schedules[1].{field}: ")
    assert written(store) == []

    async def put() -> None:
        async with AsyncClient(store.url, namespace=store.namespace, strict=True) as client:
            await client.schedules.put(bad)

    with pytest.raises(InvalidSchedule, match=f"^{field}: "):
        asyncio.run(put())


@pytest.mark.parametrize(("template", "field", "code", "told"), BAD)
def test_a_rule_of_a_task_that_does_not_fit_is_refused(
    strict: Client, store: Store, template: Template, field: str, code: str, told: str
) -> None:
    with pytest.raises(InvalidTask) as caught:
        strict.put_rule(Rule(id="r", on="paid", task=template))
    assert (caught.value.field, caught.value.code) == (field, code)
    assert told in str(caught.value)
    assert written(store) == []


def test_what_fits_is_put_and_a_client_that_is_not_strict_takes_all_of_it(strict: Client, store: Store) -> None:
    task = Template(type="otp.send", payload={"phone": "+49"})
    assert strict.schedules.put(Schedule(id="s", every="1h", task=task)).status == "created"
    assert strict.put_rule(Rule(id="r", on="paid", task=task)) == "created"
    with store.client() as client:
        assert client.schedules.put(Schedule(id="x", every="1h", task=Template(type="mail"))).status == "created"
        assert client.put_rule(Rule(id="x", on="paid", task=Template(type="mail"))) == "created"


def test_a_change_of_a_schedule_and_a_run_with_another_payload_are_looked_at(strict: Client) -> None:
    strict.schedules.put(Schedule(id="s", every="1h", task=Template(type="otp.send", payload={"phone": "+49"})))
    with pytest.raises(InvalidSchedule, match=r"^task.payload: does not fit its type at \$.phone: it must be a text"):
        strict.schedules.patch("s", {"task": {"payload": {"phone": 7}}})
    with pytest.raises(InvalidSchedule, match=r"^task.payload: does not fit"):
        strict.schedules.trigger("s", payload={})
    assert strict.schedules.patch("s", {"task": {"payload": {"phone": "1"}}}).status == "updated"
    assert strict.schedules.trigger("s", payload={"phone": "2"}) is not None
    assert strict.schedules.trigger("s", overlap="allow_all") is not None


@pytest.mark.parametrize(
    ("payload", "bind", "told"),
    [
        ({"text": "a"}, {"n": "data.n"}, ""),
        ({}, {"n": "data.n", "text": "subject"}, ""),
        ({"n": "overwritten", "text": "a"}, {"n": "data.n"}, ""),
        ({}, {"n": "data.n"}, "at $: text is required"),
        ({"text": 5}, {"n": "data.n"}, "at $.text: it must be a text"),
        ({"text": "a", "n": 1}, {"more": "id"}, "at $: it has 1 unknown members"),
        (None, {"n": "data.n", "text": "subject"}, "at $: it must be an object"),
    ],
)
def test_members_that_events_fill_in_count_as_there_and_their_values_as_unknown(
    strict: Client, store: Store, payload: Any, bind: dict[str, str], told: str
) -> None:
    rule = Rule(id="r", on="paid", task=Template(type="only", payload=payload), bind=bind)
    if not told:
        assert strict.put_rule(rule) == "created"
        return
    with pytest.raises(InvalidTask) as caught:
        strict.put_rule(rule)
    assert told in str(caught.value)
    assert written(store) == []


def test_members_that_facts_fill_in_when_a_task_is_due_count_as_there(strict: Client) -> None:
    late = Conditions(late={"n": "amount:42"})
    assert strict.enqueue("only", {"text": "a"}, conditions=late).status == "created"
    assert strict.enqueue(Task(type="only", payload={"text": "a"}, late={"n": "amount:42"})).status == "created"
    template = Template(type="only", payload={"text": "a"}, conditions=late)
    assert strict.schedules.put(Schedule(id="s", every="1h", task=template)).status == "created"
    with pytest.raises(InvalidTask, match="text is required"):
        strict.enqueue("only", {}, conditions=late)


def test_over_http_a_request_says_it_for_itself(store: Store) -> None:
    bad, good = {"type": "only", "payload": {"n": "x", "text": ""}}, {"type": "otp.send", "payload": {"phone": "1"}}
    with ApiServer(store.url or "", store.namespace) as api:
        refused = api.put("/v1/schedules/s?strict=true", {"every": "1h", "task": bad})
        assert (refused.code, refused.pointers) == ("422 payload_mismatch", ["/task/payload"])
        unknown = {"every": "1h", "task": {"type": "no"}}
        assert api.put("/v1/schedules/s?strict=true", unknown).code == "422 unknown_type"
        assert api.put("/v1/schedules/s?strict=yes", unknown).code == "400 bad_filter"
        some = {"schedules": [{"id": "a", "every": "1h", "task": good}, {"id": "b", "every": "1h", "task": bad}]}
        applied = api.post("/v1/schedules:apply?strict=true", some)
        assert (applied.code, applied.pointers) == ("422 payload_mismatch", ["/schedules/1/task/payload"])
        ruled = api.put("/v1/rules/r?strict=true", {"on": "paid", "task": bad})
        assert (ruled.code, ruled.pointers) == ("422 payload_mismatch", ["/task/payload"])
        assert written(store) == []

        assert api.put("/v1/schedules/s?strict=true", {"every": "1h", "task": good}).status == 201
        assert api.put("/v1/rules/r?strict=true", {"on": "paid", "task": good}).status == 201
        changed = api.put("/v1/schedules/s?strict=true", {"task": {"payload": {"phone": 7}}}, method="PATCH")
        assert changed.code == "422 payload_mismatch"
        assert api.post("/v1/schedules/s:trigger?strict=true", {"payload": {}}).code == "422 payload_mismatch"
        assert api.post("/v1/schedules/s:trigger?strict=true", {}).status == 201
        assert api.post("/v1/schedules/s:pause?strict=true", {}).code == "400 bad_filter"
        assert api.put("/v1/schedules/s", {"every": "1h", "task": bad}).status == 200
        assert api.put("/v1/rules/r", {"on": "paid", "task": bad}).status == 200


def test_without_the_package_a_strict_call_says_what_is_missing(
    store: Store, strict: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    task = Template(type="otp.send", payload="1")
    with pytest.raises(InvalidSetting, match=r"pip install 'redsched\[strict\]'"):
        strict.schedules.put(Schedule(id="s", every="1h", task=task))
    with ApiServer(store.url or "", store.namespace) as api:
        body = {"type": "otp.send", "payload": "1"}
        assert api.put("/v1/schedules/s?strict=true", {"every": "1h", "task": body}).code == "501 strict_unavailable"
        assert api.put("/v1/rules/r?strict=true", {"on": "paid", "task": body}).code == "501 strict_unavailable"
    assert written(store) == []


def test_on_the_command_line_it_is_an_option(store: Store, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        environment = {"REDSCHED_REDIS_URL": store.url or "", "REDSCHED_NAMESPACE": store.namespace}
        result = CliRunner().invoke(main, list(arguments), env=environment)
        return result.exit_code, result.stderr

    file, tasks = tmp_path / "s.json", tmp_path / "t.jsonl"
    file.write_text(json.dumps([{"id": "s", "every": "1h", "task": {"type": "otp.sent"}}]))
    tasks.write_text('{"type": "otp.send", "payload": {}}\n')
    for told, *arguments in (
        ("task.type: ", "schedule", "set", "s", "otp.sent", "--every", "1h"),
        ("task.payload: ", "schedule", "set", "s", "otp.send", "-p", "{}", "--every", "1h"),
        ("schedules[0].task.type: ", "schedule", "apply", "-f", str(file)),
        ("task.payload: ", "rule", "put", "r", "--on", "paid", "--type", "otp.send", "-p", "{}"),
        ("tasks[0].payload: ", "task", "add-many", str(tasks), "--run", "x"),
    ):
        code, err = run(*arguments, "--strict")
        assert (code, err.startswith(told), "nothing was written" in err) == (2, True, True), err
    assert written(store) == []
    bound = ("--bind", "phone=subject", "--strict")
    assert run("rule", "put", "r", "--on", "paid", "--type", "otp.send", "-p", "{}", *bound) == (0, "")
    assert run("schedule", "set", "s", "otp.send", "-p", '{"phone": "1"}', "--every", "1h", "--strict") == (0, "")
    assert run("schedule", "trigger", "s", "-p", "{}", "--strict")[0] == 2

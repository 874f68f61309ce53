"""JSON that the command line is given is stored byte for byte, and shown as it is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from redsched.cli.main import main
from tests.support.servers import Store

Cli = Callable[..., str]
WRITTEN = '{"price":1.10, "id":12345678901234567890,"big":12345678901234567890.0,"e":1E5 ,"s":"\\u00e9\\/é","z":-0.0}'
SHOWN = "".join(WRITTEN.split())


@pytest.fixture
def cli(valkey_store: Store) -> Cli:
    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        assert valkey_store.url
        environment = {"REDSCHED_REDIS_URL": valkey_store.url, "REDSCHED_NAMESPACE": valkey_store.namespace}
        result = CliRunner().invoke(main, list(arguments), env=environment, input=stdin)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output

    return run


def stored(store: Store, name: str, field: str) -> str:
    return str(store.redis.hget(store.key(name), field))


def without_blanks(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("given", [WRITTEN, f" {WRITTEN}\n"])
def test_a_payload_of_a_task_is_stored_as_it_is_written(
    cli: Cli, valkey_store: Store, tmp_path: Path, given: str
) -> None:
    (tmp_path / "p.json").write_text(given)
    cli("task", "add", "t", "--id", "text", "--in", "1h", "-p", given)
    cli("task", "add", "t", "--id", "file", "--in", "1h", "-p", f"@{tmp_path}/p.json")
    cli("task", "add", "t", "--id", "pipe", "--in", "1h", "-p", "-", stdin=given)
    cli("task", "add", "t", "--id", "number", "--in", "1h", "-p", "1.10")

    assert [stored(valkey_store, f"task:default:{id}", "payload") for id in ("text", "file", "pipe")] == [WRITTEN] * 3
    assert stored(valkey_store, "task:default:number", "payload") == "1.10"
    assert cli("task", "add", "t", "--id", "text", "--in", "1h", "-p", given).startswith("existing")


def test_data_of_an_event_are_stored_as_they_are_written(cli: Cli, valkey_store: Store) -> None:
    cli("emit", "paid", "order-1", "-d", WRITTEN)

    assert valkey_store.redis.get(valkey_store.key("fact:paid:order-1")) == WRITTEN


@pytest.mark.parametrize("way", ["option", "file"])
def test_a_payload_of_a_rule_is_stored_and_shown_as_it_is_written(
    cli: Cli, valkey_store: Store, tmp_path: Path, way: str
) -> None:
    (tmp_path / "rule.json").write_text('{"on":"paid","task":{"type":"t","payload": P }}'.replace("P", WRITTEN))
    given = {"option": ("--on", "paid", "--type", "t", "-p", WRITTEN), "file": ("-f", f"{tmp_path}/rule.json")}[way]
    cli("rule", "put", "r", *given)

    assert json.loads(stored(valkey_store, "rules:paid", "r"))["fields"]["payload"] == WRITTEN
    assert SHOWN in without_blanks(cli("rule", "show", "r"))
    assert SHOWN in without_blanks(cli("rule", "ls", "-o", "json"))


def test_a_payload_of_a_schedule_is_stored_and_shown_as_it_is_written(cli: Cli, valkey_store: Store) -> None:
    cli("schedule", "set", "s", "t", "--every", "1h", "-p", WRITTEN)
    made = json.loads(cli("schedule", "trigger", "s", "-p", "[1.10]", "-o", "json"))["task_id"]

    assert stored(valkey_store, "schedule:s", "task:payload") == WRITTEN
    assert stored(valkey_store, f"task:default:{made}", "payload") == "[1.10]"
    for form in ("json", "table"):
        assert SHOWN in without_blanks(cli("schedule", "show", "s", "-o", form))
    assert SHOWN in without_blanks(cli("schedule", "ls", "-o", "json"))


@pytest.mark.parametrize("form", ["[P]", '{"schedule":[P]}'])
def test_payloads_of_a_file_of_schedules_are_stored_as_they_are_written(
    cli: Cli, valkey_store: Store, tmp_path: Path, form: str
) -> None:
    definition = '{"id":"s","every":"1h","task":{"payload": P ,"type":"t"}}'.replace("P", WRITTEN)
    (tmp_path / "s.json").write_text(form.replace("P", definition), encoding="utf-8-sig")

    cli("schedule", "apply", "-f", f"{tmp_path}/s.json")

    assert stored(valkey_store, "schedule:s", "task:payload") == WRITTEN
    assert "unchanged" in cli("schedule", "apply", "-f", f"{tmp_path}/s.json")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("[1e400]", "out of range"),
        ("[NaN]", "no JSON"),
        ('{"a":1,"a":2}', "twice"),
        ("[1.]", "no JSON"),
    ],
)
def test_what_is_no_json_that_all_can_read_is_refused(cli: Cli, tmp_path: Path, given: str, told: str) -> None:
    (tmp_path / "rule.json").write_text('{"on":"paid","task":{"type":"t","payload":P}}'.replace("P", given))
    (tmp_path / "s.json").write_text('[{"id":"s","every":"1h","task":{"type":"t","payload":P}}]'.replace("P", given))
    refused = [
        cli("task", "add", "t", "-p", given, code=2),
        cli("emit", "paid", "-d", given, code=2),
        cli("schedule", "set", "s", "t", "--every", "1h", "-p", given, code=2),
        cli("rule", "put", "r", "-f", f"{tmp_path}/rule.json", code=2),
        cli("schedule", "apply", "-f", f"{tmp_path}/s.json", code=2),
    ]

    assert [told in text for text in refused] == [True] * 5, refused


@pytest.mark.parametrize("text", ["5", '"s"', "null", "{}", '{"schedule":5}', "[5]"])
def test_a_file_without_schedules_is_refused(cli: Cli, tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)

    assert "has no [[schedule]] tables" in cli("schedule", "apply", "-f", f"{tmp_path}/s.json", code=2)

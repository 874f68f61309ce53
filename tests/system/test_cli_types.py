"""The command line uses what workers have put of a type where nobody names a queue."""

from __future__ import annotations

from click.testing import CliRunner

from redsched.cli.main import main
from redsched.wire import protocol
from redsched.wire.task_types import TypePut
from tests.support.servers import Store


def test_a_schedule_and_a_rule_without_a_queue_go_to_that_of_their_type(valkey_store: Store) -> None:
    def run(*arguments: str) -> str:
        environment = {"REDSCHED_REDIS_URL": valkey_store.url or "", "REDSCHED_NAMESPACE": valkey_store.namespace}
        result = CliRunner().invoke(main, list(arguments), env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    with valkey_store.client() as client:
        client.transport.send(protocol.put_types(client.cell_keys, "shop", None, "w", 5, [TypePut("dt", "dtq")]))
        run("schedule", "set", "hourly", "dt", "--every", "1h")
        run("schedule", "set", "elsewhere", "dt", "--every", "1h", "-q", "other")
        run("rule", "put", "made", "--on", "paid", "--type", "dt")

        queues = {one.schedule.id: one.schedule.task.queue for one in client.schedules.list().items}
        assert queues == {"hourly": "dtq", "elsewhere": "other"}
        assert run("emit", "paid", "1", "--id", "e1").splitlines()[1:] == ["made dtq/made:e1"]


def test_what_a_queue_gives_is_set_shown_and_taken_back(valkey_store: Store) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        environment = {"REDSCHED_REDIS_URL": valkey_store.url or "", "REDSCHED_NAMESPACE": valkey_store.namespace}
        result = CliRunner().invoke(main, ["queue", "defaults", *arguments], env=environment)
        return result.exit_code, result.stdout, result.stderr

    assert run("otp")[1] == "Queue otp gives nothing to its tasks.\n"
    code, out, _ = run("otp", "--max-attempts", "2", "--retry", "fixed:5s", "--timeout", "7s")
    assert code == 0 and "fixed 5000" in out and "7s" in out
    assert run("otp", "--unset", "retry", "--unset", "timeout", "-o", "json")[1].split() == [
        "{",
        '"max_attempts":',
        "2",
        "}",
    ]
    assert run("otp", "--max-attempts", "2", "--unset", "max-attempts")[0] == 2
    assert "priority: has no default" in run("otp", "--unset", "priority")[2]
    with valkey_store.client() as client:
        client.enqueue("t", {}, queue="otp", id="a")
        assert client.task("a", queue="otp").max_attempts == 2

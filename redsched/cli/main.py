"""``redsched``: the root command, and the one table from errors to exit codes."""

from __future__ import annotations

from typing import Any

import click

from redsched.cli import (
    acl,
    add_many,
    bulk,
    calendars,
    config,
    dead,
    demo,
    deploy,
    doctor,
    events,
    finding,
    invocation,
    queues,
    render,
    run,
    schedules,
    setting_help,
    tasks,
    timeline,
    torture,
    types,
    up,
    workflows,
)
from redsched.cli.invocation import CONFLICT, CONTEXT, FAILURE, NOT_FOUND, UNREACHABLE, USAGE, Failure, Invocation
from redsched.model.errors import (
    InvalidSchedule,
    InvalidSetting,
    InvalidState,
    InvalidTask,
    QueueNotFound,
    RedschedError,
    ScheduleNotFound,
    StoreUnavailable,
    TaskConflict,
    TaskInSeveralQueues,
    TaskNotFound,
    WorkflowIncomplete,
)

EXIT_CODES: dict[type[RedschedError], int] = {
    InvalidTask: USAGE,
    InvalidSchedule: USAGE,
    InvalidSetting: USAGE,
    TaskNotFound: NOT_FOUND,
    ScheduleNotFound: NOT_FOUND,
    QueueNotFound: NOT_FOUND,
    TaskConflict: CONFLICT,
    WorkflowIncomplete: CONFLICT,
    InvalidState: CONFLICT,
    StoreUnavailable: UNREACHABLE,
}


class Root(invocation.Group):
    """Turns what redsched raises into a line for people and an exit code."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The global options, with the settings that they give, then the commands."""
        setting_help.write_options(self, ctx, formatter, setting_help.rows_read(("client",)))
        self.format_commands(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed, then as click does it."""
        invocation.keep_words(ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RedschedError as error:
            render.say(render.Lines(_message(error, ctx.ensure_object(Invocation))), err=True)
            ctx.exit(exit_code(error))
        except click.ClickException as error:
            # what was typed, or came through a pipe
            error.message = render.shown(render.Lines(error.message))  # type: ignore[misc]
            raise
        except Failure as failure:
            render.say(render.Lines(failure), err=True)
            ctx.exit(failure.exit_code)


def exit_code(error: RedschedError) -> int:
    """The exit code for an error: 1 unless the table names another."""
    if isinstance(error, InvalidTask) and error.code == "operation_exists":
        return CONFLICT
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILURE)


def _message(error: RedschedError, given: Invocation) -> str:
    if isinstance(error, TaskInSeveralQueues):
        return f"Several queues have a task {error.task_id}: {', '.join(error.queues)}. Say which with -q."
    if not isinstance(error, StoreUnavailable):
        return str(error)
    from redsched.redis_url import masked_url

    url = masked_url(given.configuration().settings().redis_url)
    remedy = "Start one, set REDSCHED_REDIS_URL (redsched up prints the line to paste), or run: redsched demo"
    return f"Cannot reach {url} ({_reason(error.problem)}).\n{remedy}"


def _reason(problem: str) -> str:
    lowered = problem.lower()
    for words, reason in (
        ("refused", "connection refused"),
        ("no such file", "no such socket"),
        ("timed out", "timed out"),
        ("timeout", "timed out"),
        ("name or service not known", "unknown host"),
        ("name resolution", "unknown host"),
    ):
        if words in lowered:
            return reason
    return problem.rstrip(".")


@click.group(
    cls=Root,
    params=[
        *invocation.global_options(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=deploy.print_version,
            help="Print the version and end.",
        ),
    ],
    context_settings=CONTEXT,
    epilog="Global options may also follow the command. Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, "
    "4 conflict, 5 Redis unreachable, 6 the doctor found faults.",
)
def main() -> None:
    """Run tasks when they are due, with Redis as the only server.

    Try it with nothing installed:  redsched demo
    """


for command in (
    demo.demo,
    up.up,
    run.worker,
    run.mover,
    run.api,
    tasks.task,
    workflows.workflow,
    finding.find,
    bulk.bulk,
    bulk.operation,
    schedules.schedule,
    calendars.calendar,
    types.type_,
    queues.queue,
    timeline.timeline,
    queues.pause,
    queues.resume,
    events.emit,
    events.rule,
    deploy.install,
    deploy.lua,
    deploy.version,
    torture.torture,
    doctor.doctor,
    dead.dead,
    dead.quarantine,
    acl.acl,
    config.config,
):
    main.add_command(command)
tasks.task.add_command(add_many.add_many)

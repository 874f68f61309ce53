"""The demo's handlers: notifications of a payment gateway. Each notes every run in the demo's ledger."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from functools import cache

from redsched.demo.ledger import noted
from redsched.engine.app import App
from redsched.engine.context import Context
from redsched.model.retry import Explicit, Fixed
from redsched.settings import Settings

app = App(name="demo")


@cache
def _ledger_path() -> str:
    return Settings.load().demo_ledger


def _noted(ctx: Context) -> AbstractContextManager[None]:
    return noted(_ledger_path(), ctx.id, ctx.type, ctx.attempt, ctx.due_at)


@app.task("otp.send", queue="otp", timeout="10s")
async def send_otp(ctx: Context, phone: str, code: str) -> None:
    """A one-time password: worthless after two minutes."""
    with _noted(ctx):
        await asyncio.sleep(0.002)


@app.task("reminder.send", queue="notifications", timeout="10s")
async def send_reminder(ctx: Context, payment: str, text: str) -> None:
    """A reminder of an open payment."""
    with _noted(ctx):
        await asyncio.sleep(0.002)


@app.task("receipt.mail", queue="notifications", timeout="10s")
async def mail_receipt(ctx: Context, payment: str, amount: str) -> None:
    """A receipt, at the time the customer chose."""
    with _noted(ctx):
        await asyncio.sleep(0.002)


@app.task("statement.mail", queue="notifications", timeout="10s")
async def mail_statement(ctx: Context, account: str) -> None:
    """A statement, made by a schedule."""
    with _noted(ctx):
        await asyncio.sleep(0.002)


@app.task("merchant.alert", queue="notifications", timeout="10s")
async def alert_merchant(ctx: Context, order: str) -> None:
    """An alert, because an event did not come."""
    with _noted(ctx):
        await asyncio.sleep(0.002)


@app.task("payouts.digest", queue="notifications", timeout="10s")
async def mail_payouts(ctx: Context, items: list[dict[str, str]]) -> None:
    """Many payouts in one mail."""
    with _noted(ctx):
        await asyncio.sleep(0.002)


@app.task("sms.flaky", queue="notifications", retry=Explicit(["300ms", "600ms"]))
async def send_by_flaky_provider(ctx: Context, phone: str) -> None:
    """A provider that fails twice and then works."""
    with _noted(ctx):
        if ctx.attempt <= 2:
            raise ConnectionError("the provider answered 503")


@app.task("sms.broken", queue="notifications", max_attempts=3, retry=Fixed("300ms"))
async def send_by_broken_provider(ctx: Context, phone: str) -> None:
    """A provider that always fails."""
    with _noted(ctx):
        raise ConnectionError("the provider answered 500")

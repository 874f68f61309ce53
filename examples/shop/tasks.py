"""What the shop does later, or again and again: the handlers that its worker runs."""

from decimal import Decimal

from redsched import App, Context, Exponential, Reject

app = App("shop")


@app.task("mail.receipt", queue="mail", max_attempts=3, retry=Exponential(base="2s"))
async def send_receipt(ctx: Context, order: str, email: str, total: Decimal) -> str:
    """Mail a receipt."""
    if "@" not in email:
        raise Reject("no such address")  # another try cannot help
    return await mail(email, f"Thank you for {order}: {total:.2f} EUR", key=ctx.id)


@app.task("mail.reminder", queue="mail", expires_in="1d")
async def send_reminder(ctx: Context, order: str, email: str) -> str:
    """Mail a reminder; the day after it is of no use."""
    return await mail(email, f"Your order {order} is still open", key=ctx.id)


@app.task("report.daily", cron="0 9 * * *", time_zone="Europe/Berlin")
async def daily_report() -> str:
    """Every morning at nine, in Berlin."""
    return "reported"


async def mail(to: str, text: str, *, key: str) -> str:
    """Your provider's call stands here. It gets the task's id, so that it can tell a repeat."""
    return f"to {to}: {text}"

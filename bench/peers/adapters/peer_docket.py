"""docket: add and add_many; a worker of concurrency 100 that checks every 5 ms and keeps no finished records."""

import datetime

from docket import Docket, Worker
from shared import URL, batches, main, record, runner

MOMENT = datetime.timedelta(milliseconds=5)
docket = Docket(name="bench", url=URL, execution_ttl=datetime.timedelta(0))


async def noop(number: int, due_ms: int, text: str) -> None:
    record(number, due_ms)


async def connect():
    await docket.__aenter__()
    docket.register(noop)


def prepare(item):
    when = datetime.datetime.fromtimestamp(item["due_ms"] / 1_000, datetime.UTC) if item["due_ms"] else None
    return docket.call(noop, when=when)(**item)


async def one(items):
    for item in items:
        await docket.add(noop)(**item)


async def bulk(calls):
    for part in batches(calls):
        await docket.add_many(part)


def due(items):
    return bulk([prepare(item) for item in items])


async def serve():
    async with docket:
        docket.register(noop)
        settings = {"minimum_check_interval": MOMENT, "scheduling_resolution": MOMENT}
        async with Worker(docket, concurrency=100, **settings) as worker:
            await worker.run_forever()


def work(due):
    with runner() as loop:
        loop.run(serve())


if __name__ == "__main__":
    main(one=one, bulk=bulk, due=due, work=work, connect=connect, prepare=prepare)

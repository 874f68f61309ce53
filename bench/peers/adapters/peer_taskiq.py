"""taskiq: RedisStreamBroker; 100 kiq() in flight; one worker process, and a scheduler process for what is due later."""

import datetime
import os
import subprocess
import sys

from shared import HERE, URL, become, in_flight, main, record
from taskiq import TaskiqScheduler
from taskiq_redis import ListRedisScheduleSource, RedisStreamBroker

# redis-py's own limits, 100 connections and 5 s for an answer, are too small for it
POOL = {"max_connection_pool_size": 200, "socket_timeout": None}
broker = RedisStreamBroker(url=URL, consumer_id="0", **POOL)
source = ListRedisScheduleSource(url=URL, **POOL)
scheduler = TaskiqScheduler(broker, [source])


@broker.task(task_name="noop")
async def noop(number, due_ms, text):
    record(number, due_ms)


async def connect():
    await broker.startup()
    await source.startup()


async def add(item):
    await noop.kiq(**item)


async def schedule(item):
    when = datetime.datetime.fromtimestamp(item["due_ms"] / 1_000, datetime.UTC)
    await noop.schedule_by_time(source, when, **item)


async def one(items):
    for item in items:
        await noop.kiq(**item)


def bulk(items):
    return in_flight(add, items)


def due(items):
    return in_flight(schedule, items)


def work(due):
    if due:
        os.environ["PYTHONPATH"] = HERE
        flags = ["--update-interval", "1", "--log-level", "WARNING"]
        subprocess.Popen([sys.executable, "-m", "taskiq", "scheduler", "peer_taskiq:scheduler", *flags])
    become(
        "taskiq",
        "worker",
        "peer_taskiq:broker",
        "--workers",
        "1",
        "--max-async-tasks",
        "100",
        "--max-prefetch",
        "100",
        "--no-parse",
        "--log-level",
        "WARNING",
    )


if __name__ == "__main__":
    main(one=one, bulk=bulk, due=due, work=work, connect=connect)

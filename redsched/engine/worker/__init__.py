"""The worker: claims tasks, runs them and settles them. Each of its actors is one file."""

from redsched.engine.worker.worker import Worker

__all__ = ["Worker"]

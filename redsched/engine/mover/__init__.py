"""The mover: what keeps time for the queues of a cell. Each of its actors is one file, and none needs a worker."""

from redsched.engine.mover.mover import Mover

__all__ = ["Mover"]

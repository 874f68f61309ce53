"""What keeps time and does work: the handler registry, the worker and the mover."""

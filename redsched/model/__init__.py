"""What things are: task, retry policy, outcome, durations, errors. Pure: no I/O, no Redis."""

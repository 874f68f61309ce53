"""The command line: each command is one verb of the client, or starts one kind of process.

Only click and the standard library are imported until a command runs: ``--help`` must answer at once.
"""

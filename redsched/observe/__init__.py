"""What can be seen of a process from outside: metrics and logs. Never a payload."""

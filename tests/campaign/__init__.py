"""The long campaign: every fault that we can make, against whole systems, judged by the checker of redsched.torture."""

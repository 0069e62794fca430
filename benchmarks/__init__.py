"""Claims of speed, each beside its rival in one process tree on one machine, as a ratio."""

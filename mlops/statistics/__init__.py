"""Pure functions of arrays: tests, intervals, distances."""

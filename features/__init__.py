"""The example's features, and the simulator that stands in for its source."""

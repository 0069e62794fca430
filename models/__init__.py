"""Training functions."""

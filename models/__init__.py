"""The example's models."""

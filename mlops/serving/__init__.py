"""What runs inside the bento and under `mlops serve`."""

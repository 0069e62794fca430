"""A view's history computed in parts: entity buckets by spans of time, each known by the rows that it reads."""

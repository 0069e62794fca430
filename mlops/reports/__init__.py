"""Verdicts and records as text, Markdown and JSON: pure functions of values."""

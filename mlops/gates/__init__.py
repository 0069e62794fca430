"""Judgements: frames and arrays in, findings out. No files, no network."""

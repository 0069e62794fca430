"""Feature functions, the data that they read, and its schema."""

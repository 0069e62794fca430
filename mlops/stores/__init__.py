"""Features at rest: the protocol and its homes."""

"""Places that run releases: the protocol and its implementations."""

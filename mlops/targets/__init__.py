"""Places that run releases: the protocol, and this machine."""

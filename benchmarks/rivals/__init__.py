"""The servers that the service is measured beside, each as its own tutorial writes it."""

"""What the project is measured beside: servers, each as its own tutorial writes it, and pipelines of many models."""

"""One verb of the pipeline per file, named as its command. Steps never call each other and never print."""

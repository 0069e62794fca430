"""One file per outside thing: the only importers of mlflow, bentoml, deepchecks, git and the file system's fine print."""

"""One file per outside thing: the only importers of mlflow, bentoml, deepchecks and git."""

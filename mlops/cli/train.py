"""`mlops train`."""

from mlops.cli.stage import stage

command = stage("train", "mlops train fraud_v2")

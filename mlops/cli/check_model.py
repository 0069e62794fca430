"""`mlops check-model`."""

from mlops.cli.stage import stage

command = stage("check-model", "mlops check-model fraud_v2")

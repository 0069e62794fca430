"""`mlops package`."""

from mlops.cli.stage import stage

command = stage("package", "mlops package fraud_v2")

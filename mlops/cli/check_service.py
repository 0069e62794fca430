"""`mlops check-service`."""

from mlops.cli.stage import stage

command = stage("check-service", "mlops check-service fraud_v2")

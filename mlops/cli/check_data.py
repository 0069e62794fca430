"""`mlops check-data`."""

from mlops.cli.stage import stage

command = stage("check-data", "mlops check-data --json")

"""`mlops check-features`."""

from mlops.cli.stage import stage

command = stage("check-features", "mlops check-features")

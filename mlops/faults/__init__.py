"""Known faults, and the cases in which every gate must find them: what `mlops selftest` plants and demands.

One module per gate; `GATES` below is the registry, in the order of the pipeline. To add a case:

1. Write the fault as a plain function of the gate's module: something sound in, a broken copy out, or None where the
   fault does not apply to it.
2. Yield a `Case` from the module's `cases(bench)`: the fault in words, the check that must fire, and a callable that
   calls the gate as its step does, with the user's own settings (`bench.settings`, `bench.config`). Name the `setting`
   on which the check depends, so that a gate that was loosened is reported with it. `expected` is what a fault must do
   by the check's default severity: `Reaction.STOPS` unless you say another.
3. Let the check take part in the sound case: `sound(lambda: …)`, once per gate or once per group of checks. The
   user's own data without any fault has to pass it.

For a new gate write a new module with `cases` and name it in `GATES`. Where a fault cannot apply (no probabilities, no
numeric column, too few rows) yield nothing. `bench` has the snapshot, both sides of the training set, the contract, the
estimator and its answers, each loaded once. Cases of different gates may run side by side, so they share no state.
"""

from __future__ import annotations

from mlops.faults import (
    canary,
    data,
    experiment,
    fairness,
    features,
    file,
    integrity,
    model,
    monitor,
    online,
    outcomes,
    own,
    package,
    schema,
    segments,
    service,
    train,
    train_test,
    training_set,
)
from mlops.faults.case import Gate

GATES: dict[str, Gate] = {
    "features": features,
    "online": online,
    "schema": schema,
    "data": data,
    "integrity": integrity,
    "training_set": training_set,
    "train_test": train_test,
    "train": train,
    "model": model,
    "segments": segments,
    "fairness": fairness,
    "own": own,
    "file": file,
    "package": package,
    "service": service,
    "canary": canary,
    "experiment": experiment,
    "outcomes": outcomes,
    "monitor": monitor,
}

import sys
from pathlib import Path

import pandas as pd
from deepchecks.tabular import Dataset
from deepchecks.tabular.suites import data_integrity, model_evaluation, train_test_validation

folder = Path(sys.argv[1])
tables = {}
for name in ("train", "test"):
    frame = pd.read_parquet(folder / f"{name}.parquet")
    probability = frame.pop("probability").to_numpy()
    frame["is_fraud"] = frame["is_fraud"].astype(int)
    tables[name] = Dataset(frame, label="is_fraud", cat_features=["channel"]), probability
(train, p_train), (test, p_test) = tables["train"], tables["test"]


def both(p):
    import numpy as np

    return np.column_stack([1 - p, p])


data_integrity().run(train)
train_test_validation().run(train, test)
model_evaluation().run(
    train,
    test,
    y_pred_train=(p_train > 0.5).astype(int),
    y_pred_test=(p_test > 0.5).astype(int),
    y_proba_train=both(p_train),
    y_proba_test=both(p_test),
)

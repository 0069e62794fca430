"""A project with views of payments that can be computed in parts, and that write down each call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlops.adapters.objects import ObjectStore
from mlops.declare import FeatureView
from mlops.steps.build_features import build_features
from mlops.stores import history
from mlops.verdict import Record
from mlops.workspace import Workspace
from tests.small import opened, write

VIEWS = '''
import json, os
import numpy as np
import pandas as pd
from mlops import feature_view


def told(view, rows):
    """One line for each call, in one write, so that processes do not mix theirs."""
    line = json.dumps({"view": view, "rows": rows["id"].tolist(), "pid": os.getpid()}) + "\\n"
    file = os.open("CALLS", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


def spend(rows, days):
    rows = rows.dropna(subset=["customer"]).sort_values(["customer", "at", "id"], kind="stable")
    table = rows[["customer", "at", "amount"]]
    rolled = table.groupby("customer", sort=False).rolling(f"{days}D", on="at")["amount"]
    found = rows[["customer", "at"]].assign(total=rolled.sum().round(6).to_numpy(), count=rolled.count().to_numpy())
    return found.drop_duplicates(["customer", "at"], keep="last")


@feature_view(source="payments", entity="customer", timestamp="at", window="7d")
def windowed_v1(payments):
    told("windowed_v1", payments)
    return spend(payments, 7)


@feature_view(source="payments", entity="customer", timestamp="at")
def whole_past_v1(payments):
    told("whole_past_v1", payments)
    rows = payments.dropna(subset=["customer"]).sort_values(["customer", "at", "id"], kind="stable")
    found = rows[["customer", "at"]].assign(nth=rows.groupby("customer").cumcount() + 1)
    return found.drop_duplicates(["customer", "at"], keep="last")


@feature_view(source="payments", entity="customer", timestamp="at", window="3d")
def too_short_v1(payments):
    told("too_short_v1", payments)
    return spend(payments, 7)


@feature_view(source="payments", entity="customer", timestamp="at")
def over_all_v1(payments):
    told("over_all_v1", payments)
    rows = payments.dropna(subset=["customer"]).sort_values(["at", "id"], kind="stable")
    found = rows[["customer", "at"]].assign(mean=rows["amount"].expanding().mean().round(6))
    return found.drop_duplicates(["customer", "at"], keep="last")
'''


def payments(rows: int = 3000, days: int = 70, seed: int = 1) -> pd.DataFrame:
    """Payments of forty customers over some days, oldest first; some without an amount, a customer or a count."""
    random = np.random.default_rng(seed)
    at = pd.Timestamp("2024-01-10", tz="UTC") + pd.to_timedelta(np.sort(random.integers(0, days * 86_400, rows)), "s")
    frame = pd.DataFrame(
        {
            "id": np.arange(rows),
            "at": at.as_unit("us"),
            "customer": pd.array(random.integers(0, 40, rows), dtype="Int64"),
            "amount": random.gamma(2, 20, rows).round(2),
            "items": pd.array(random.integers(1, 9, rows), dtype="Int64"),
            "word": random.choice(["a", "b", "ü"], rows),
        }
    )
    frame.loc[frame.index[11::97], "amount"] = np.nan
    frame.loc[frame.index[5::501], "customer"] = pd.NA
    frame.loc[frame.index[7:9], "items"] = pd.NA
    return frame


@dataclass
class Payments:
    """The project, and what its views were called with."""

    root: Path

    def workspace(self) -> Workspace:
        return opened(self.root)

    @property
    def calls(self) -> list[dict[str, object]]:
        """Each call: the view, the ids of the rows passed, the process."""
        file = self.root / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def forget_calls(self) -> None:
        (self.root / "calls.jsonl").unlink(missing_ok=True)

    def computing(self, record: Record) -> list[dict[str, object]]:
        """The calls that computed parts for a record; those before showed how the view may be cut."""
        count = record.facts["parts"]["calls"]
        return self.calls[-count:] if count else []

    def taken(self, frame: pd.DataFrame, workspace: Workspace | None = None) -> Record:
        workspace = workspace or self.workspace()
        return Record(step="snapshot", subject="payments", outputs={"data": workspace.put_frame(frame)})

    def build(self, name: str, frame: pd.DataFrame, **more: object) -> Record:
        workspace = self.workspace()
        return build_features(
            workspace, view=workspace.catalog.views[name], snapshot=self.taken(frame, workspace), **more
        )

    def features(self, record: Record) -> pd.DataFrame:
        """All rows of a history, in order."""
        objects = ObjectStore(self.root / ".mlops" / "store")
        frame = pd.concat([pd.read_parquet(file) for file in history.parts(objects, record.outputs["features"])])
        return frame.sort_values(["customer", "at"], ignore_index=True).astype({"customer": "int64"})


def project(root: Path, *, settings: str = "rows = 400\nworkers = 1", views: str = VIEWS) -> Payments:
    """The project; `settings` are those of the engine."""
    write(
        root,
        {
            "pyproject.toml": f'[project]\nname = "payments"\n[tool.mlops]\ndeepchecks = false\n'
            f'[tool.mlops.sources.payments]\npath = "payments.parquet"\n[tool.mlops.engine]\n{settings}\n',
            "features/__init__.py": "",
            "features/spend.py": views.replace('"CALLS"', repr(str(root / "calls.jsonl"))),
        },
    )
    return Payments(root)


def whole(view: FeatureView, frame: pd.DataFrame, workspace: Workspace) -> pd.DataFrame:
    """What the function returns for the whole table, as it is stored."""
    objects = ObjectStore(workspace.root / "apart")
    source = workspace.frame(workspace.put_frame(frame)).copy()
    stored = pd.read_parquet(objects.path(history.write(objects, view, view.function(source))))
    return stored.sort_values(["customer", "at"], ignore_index=True).astype({"customer": "int64"})

"""Twenty-odd bugs planted into the example's own feature functions, one at a time: `check-features` must find them.

A bug that only a unit test can see (a window of eight days, cents for euros) counts because the example's own tests
see it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from features.simulator import transactions
from mlops.steps.check_features import check_features
from mlops.verdict import Record, Verdict
from tests import small

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
MEAN = 'payments["amount"], window, "mean")'
DEDUPLICATED = 'return features.drop_duplicates(["customer_id", "event_time"], keep="last")'
SPENT = 'features = payments[["customer_id", "event_time"]].copy()'
STATISTIC = "return pd.Series(rolled.to_numpy(), index=payments.index)"
LARGEST = 'payments.groupby("customer_id")["amount"].transform("max")'
DAY = 'features["event_time"] = features["event_time"].dt'
SWAPPED = "fraud_share_7d=payments, payments_7d=(frauds / payments.where(payments > 0)).round(4)"
RISK = "payments_7d=payments, fraud_share_7d=(frauds / payments.where(payments > 0)).round(4)"

BUGS: dict[str, tuple[str, str]] = {
    "reads the next payment": (MEAN, f'{MEAN}.groupby(payments["customer_id"]).shift(-1)'),
    "the customer's largest amount, whenever": (MEAN, f"{MEAN} / {LARGEST}"),
    "a window of one day more": ("window = pd.Timedelta(days=number)", "window = pd.Timedelta(days=number + 1)"),
    "a window of one day less": ("window = pd.Timedelta(days=7)\n", "window = pd.Timedelta(days=6)\n"),
    "no payments are no risk": ("payments.where(payments > 0)", "payments.clip(lower=1)"),
    "stamped at the start of the day": (SPENT, f'{SPENT}\n    {DAY}.floor("D")'),
    "the time zone lost": (SPENT, f"{SPENT}\n    {DAY}.tz_localize(None)"),
    "rows twice": (DEDUPLICATED, "return features"),
    "the first of a moment instead of the last": (DEDUPLICATED, DEDUPLICATED.replace("last", "first")),
    "in the order in which rows come": (
        'subset=["customer_id"]).sort_values(["customer_id", "event_time"], kind="stable")',
        'subset=["customer_id"])',
    ),
    "remembers how often it was called": (
        STATISTIC,
        "_SEEN.append(1)\n    " + STATISTIC.replace("()", "() + len(_SEEN)"),
    ),
    "changes the table that it is given": (
        "    payments = transactions.dropna",
        '    transactions["amount"] *= 2\n    payments = transactions.dropna',
    ),
    "a little random": (MEAN, f"{MEAN} * (1 + 0.01 * np.random.default_rng().random())"),
    "the age in days, as of now": (MEAN, f'{MEAN} + (pd.Timestamp.now("UTC") - payments["event_time"]).dt.days'),
    "reads labels after a day": ("pd.Timedelta(days=7)  # a fraud", "pd.Timedelta(days=1)  # a fraud"),
    "reads the label of the payment itself": (MEAN, 'payments["is_fraud"].fillna(0), window, "mean")'),
    "cents for euros": (MEAN, 'payments["amount"] * 100, window, "mean")'),
    "two columns swapped": (RISK, SWAPPED),
    "aligned by position": (STATISTIC, "return pd.Series(rolled.to_numpy())"),
    "all customers in one window": ('table.groupby("entity", sort=False).rolling(', 'table.sort_values("at").rolling('),
    "measured against the mean of the batch": ("amount / mean.where(mean > 0)", "amount / amount.mean()"),
    "a column that is not declared": (SPENT, f'{SPENT}\n    features["more"] = payments["amount"]'),
    "raises for a new customer": ("amount / mean.where(mean > 0)", "amount / mean.where(mean > 0).astype(int)"),
}  # fmt: skip


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    return transactions(customers=40, terminals=20, days=40, desk_opens=0)


def judged(root: Path, source: pd.DataFrame, old: str = "", new: str = "") -> Verdict:
    for folder in ("features", "models", "tests/features"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    file = root / "features/transactions.py"
    text = file.read_text()
    assert text.count(old) >= 1, f"{old!r} is not in the example any more"
    file.write_text(
        text.replace(old, new).replace(
            "import pandas as pd\n", "import numpy as np\nimport pandas as pd\n\n_SEEN = []\n", 1
        )
    )
    workspace = small.opened(root)
    snapshot = Record(step="snapshot", subject="transactions", outputs={"data": workspace.put_frame(source)})
    views, computed = list(workspace.catalog.views.values()), list(workspace.catalog.on_demands.values())
    record = check_features(workspace, views=views, on_demands=computed, snapshots={"transactions": snapshot})
    assert record.verdict is not None
    return record.verdict


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, payments: pd.DataFrame, tmp_path: Path) -> None:
    """PROMISES 6: of 20 planted feature bugs at least 19 are found; here all of more are."""
    verdict = judged(tmp_path / "example", payments, *BUGS[bug])
    assert not verdict.accepted
    assert all(finding.next_step for finding in verdict.fired)


def test_there_are_twenty_bugs_at_least() -> None:
    """PROMISES 6."""
    assert len(BUGS) >= 20


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_honest_features_pass_on_other_payments(seed: int, tmp_path: Path) -> None:
    """PROMISES 6: no false alarm."""
    verdict = judged(tmp_path / "example", transactions(seed=seed, customers=40, terminals=20, days=40))
    assert [finding.message for finding in verdict.fired] == []

"""check-features finds planted bugs, names them, lets honest features pass, and runs the user's tests."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from features.simulator import transactions
from mlops.config import Config, Source
from mlops.steps.check_features import check_features
from mlops.verdict import Finding, Outcome, Severity, Verdict
from mlops.workspace import Workspace

HEAD = """
    import numpy as np
    import pandas as pd
    from mlops import feature_view, on_demand, model

    def view(**more):
        known = dict(source="payments", entity="customer_id", timestamp="event_time")
        return feature_view(**{**known, **more})

    def ordered(payments):
        return payments.sort_values(["customer_id", "event_time"], kind="stable").drop_duplicates(KEYS, keep="last")

    KEYS = ["customer_id", "event_time"]
    _seen = []
"""

MODEL = """
    @model(source="payments", label="is_fraud", timestamp="event_time", label_delay="7d", request=["amount"])
    def fraud_v1(X, y, params): ...
"""


def a_view(body: str, more: str = "") -> str:
    return f"@view({more})\ndef NAME(payments):\n" + textwrap.indent(textwrap.dedent(body).strip(), "    ")


def of(expression: str, more: str = "") -> str:
    """A view whose only feature is `expression` over the ordered payments `t`, grouped `g`."""
    body = f"""
        t = ordered(payments)
        g = t.groupby("customer_id")["amount"]
        return t[KEYS].assign(x={expression})
    """
    return a_view(body, more)


# name: (code, the check that must fire)
BUGS = {
    "next_row_v1": (of("g.shift(-1)"), "look-ahead"),
    "centred_v1": (of("g.transform(lambda s: s.rolling(5, center=True, min_periods=1).mean())"), "look-ahead"),
    "global_mean_v1": (of("t['amount'] / t['amount'].mean()"), "look-ahead"),
    "group_mean_v1": (of("g.transform('mean')"), "look-ahead"),
    "reversed_window_v1": (of("g.transform(lambda s: s[::-1].rolling(3, min_periods=1).sum()[::-1])"), "look-ahead"),
    "future_merge_v1": (
        a_view("""
            t = ordered(payments).sort_values("event_time", kind="stable")
            later = t[KEYS + ["amount"]].rename(columns={"amount": "x"})
            found = pd.merge_asof(t[KEYS], later, on="event_time", by="customer_id", direction="forward",
                                  allow_exact_matches=False)
            return found
        """),
        "look-ahead",
    ),
    "day_stamped_at_its_start_v1": (
        a_view("""
            day = payments.assign(event_time=payments["event_time"].dt.floor("D"))
            return day.groupby(KEYS, as_index=False).agg(x=("amount", "sum"))
        """),
        "look-ahead",
    ),
    "rank_in_all_rows_v1": (of("t['amount'].rank(pct=True)"), "look-ahead"),
    "backfilled_v1": (of("g.shift(1).bfill()"), "look-ahead"),
    "label_too_early_v1": (of("t['is_fraud'].fillna(0).groupby(t['customer_id']).cumsum()"), "label-delay"),
    "random_v1": (of("t['amount'] + np.random.default_rng().normal(size=len(t))"), "deterministic"),
    "clock_v1": (of("(pd.Timestamp('2030-01-01') - pd.Timestamp.today()).days + t['amount']"), "clock"),
    "remembers_calls_v1": (of("t['amount'] + (_seen.append(1) or len(_seen))"), "deterministic"),
    "set_order_v1": (
        of("t['channel'].map({c: i for i, c in enumerate({'chip', 'contactless', 'online', *'abcdefghij'})})"),
        "other-process",
    ),
    "unsorted_v1": (
        a_view("""
            t = payments.drop_duplicates(KEYS)
            return t[KEYS].assign(x=t.groupby("customer_id")["amount"].cumsum())
        """),
        "row-order",
    ),
    "changes_its_input_v1": (
        a_view("""
            payments["amount"] = payments["amount"] * 100
            t = ordered(payments)
            return t[KEYS].assign(x=t["amount"])
        """),
        "mutation",
    ),
    "forgot_a_column_v1": (of("t['amount']", "columns=['x', 'y']"), "columns"),
    "one_column_too_many_v1": (of("t['amount'], y=1", "columns=['x']"), "columns"),
    "duplicates_v1": (a_view("return pd.concat([ordered(payments)[KEYS + ['amount']]] * 2)"), "duplicates"),
    "misaligned_v1": (of("pd.Series(t['amount'].to_numpy(), index=t.index + 10**9)"), "values"),
    "wrong_entity_v1": (
        a_view("""
            t = payments.drop(columns="customer_id").rename(columns={"terminal_id": "customer_id"})
            t["customer_id"] += 10_000
            return ordered(t)[KEYS + ["amount"]]
        """),
        "entities",
    ),
    "division_by_zero_v1": (of("t['amount'] / g.transform(lambda s: s.expanding().count() - 1)"), "values"),
    "time_zone_v1": (
        a_view("""
            t = ordered(payments)
            zoned = t["event_time"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
            return t[KEYS].assign(event_time=zoned.dt.tz_localize(None), x=t["amount"])
        """),
        "look-ahead",
    ),
    "zone_added_v1": (
        a_view("""
            t = ordered(payments)
            return t[KEYS].assign(event_time=t["event_time"].dt.tz_localize("Asia/Tokyo"), x=t["amount"])
        """),
        "time-zone",
    ),
    "time_as_text_v1": (a_view("return ordered(payments)[KEYS + ['amount']].astype({'event_time': str})"), "keys"),
    "raises_v1": (of("t['amuont']"), "runs"),
    "cents_for_euros_v1": (of("t['amount'] * 100"), "tested"),
    "untested_v1": (of("t['amount']"), "tested"),
}

ON_DEMAND_BUGS = {
    "over_batch_mean_v1": ("amount / amount.mean()", "row-wise"),
    "previous_request_v1": ("amount - amount.shift(1)", "row-wise"),
    "infinite_v1": ("amount / (amount * 0)", "values"),
    "noisy_v1": ("amount + np.random.default_rng().normal(size=len(amount))", "deterministic"),
    "filtered_v1": ("amount[amount > 10]", "columns"),
    "an_array_v1": ("amount.to_numpy()", "columns"),
    "needs_history_v1": ("amount / int(before.iloc[0] >= 0 or 1 / 0)", "runs"),
}

HONEST = {
    "week_v1": """
        @view(columns={"mean": "", "count": ""})
        def NAME(payments):
            t = payments.sort_values(KEYS, kind="stable")
            rolled = t.groupby("customer_id").rolling("7D", on="event_time")["amount"]
            found = t[KEYS].assign(mean=rolled.mean().to_numpy(), count=rolled.count().to_numpy())
            return found.drop_duplicates(KEYS, keep="last")
    """,
    "previous_v1": of("g.shift(1)"),
    "spread_v1": of("g.transform(lambda s: s.expanding().std())"),
    "gap_v1": of("t.groupby('customer_id')['event_time'].diff().dt.total_seconds()"),
    "favourite_v1": of("t['channel'].where(t['amount'] > 20)"),
    "seeded_v1": of("t['amount'] + np.random.default_rng(3).normal() * 0"),
    "day_stamped_at_its_end_v1": """
        @view()
        def NAME(payments):
            day = payments.assign(event_time=payments["event_time"].dt.floor("D") + pd.Timedelta(days=1))
            return day.groupby(KEYS, as_index=False).agg(x=("amount", "sum"))
    """,
    "known_frauds_v1": """
        @view(entity="terminal_id")
        def NAME(payments):
            t = payments[["terminal_id", "event_time", "is_fraud"]].sort_values(["terminal_id", "event_time"])
            known = t.assign(event_time=t["event_time"] + pd.Timedelta(days=7))
            known["frauds"] = known.groupby("terminal_id")["is_fraud"].cumsum()
            return known.drop(columns="is_fraud").drop_duplicates(["terminal_id", "event_time"], keep="last").dropna()
    """,
}


class Project:
    """A project with the source `payments`, written for a test."""

    def __init__(self, root: Path, code: Sequence[str], tests: str | None) -> None:
        for folder in ("features", "models", "tests/features"):
            (root / folder).mkdir(parents=True)
            (root / folder / "__init__.py").touch() if folder != "tests/features" else None
        text = "\n\n\n".join(textwrap.dedent(piece) for piece in [HEAD, *code, MODEL])
        (root / "features" / "spend.py").write_text(text, encoding="utf-8")
        if tests is not None:
            (root / "tests" / "features" / "test_spend.py").write_text(textwrap.dedent(tests), encoding="utf-8")
        self.workspace = Workspace(root, Config(name="p", sources={"payments": Source(path="payments.csv")}))

    def check(self, frame: pd.DataFrame) -> Verdict:
        from mlops.verdict import Record

        catalog = self.workspace.catalog
        snapshot = Record(step="snapshot", subject="payments", outputs={"data": self.workspace.put_frame(frame)})
        record = check_features(
            self.workspace,
            views=list(catalog.views.values()),
            on_demands=list(catalog.on_demands.values()),
            snapshots={"payments": snapshot},
        )
        assert record.verdict is not None
        return record.verdict


def payments(days: int = 40) -> pd.DataFrame:
    table = transactions(customers=150, terminals=60, days=days, desk_opens=0)
    return table.assign(event_time=table["event_time"].dt.tz_localize(None))


SMALL = """
    customer_id  event_time        terminal_id  amount  channel  is_fraud
    1            2024-01-01T09:00  5            10.0    chip     0.0
    1            2024-01-02T09:00  5            30.0    chip     1.0
"""


def calling(names: Sequence[str]) -> str:
    """A test file that calls every view, expecting nothing of the result but that there is one."""
    tests = [
        "import pandas as pd, pytest, features.spend as spend",
        "from mlops.testing import frame",
        f"SMALL = frame('''{SMALL}''')",
    ]
    tests += [f"def test_{name}():\n    assert spend.{name}(SMALL.copy()) is not None" for name in names]
    return "\n\n".join(tests) + "\n"


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    code = [code.replace("NAME", name) for name, (code, _) in BUGS.items()]
    code += [code.replace("NAME", name) for name, code in HONEST.items()]
    for name, (expression, _) in ON_DEMAND_BUGS.items():
        inputs = '"amount", "previous_v1.x"'
        code.append(f"@on_demand(inputs=[{inputs}])\ndef {name}(amount, before):\n    return {expression}")
    code.append('@on_demand(inputs=["amount", "previous_v1.x"])\ndef ratio_v1(a, b):\n    return a / b.where(b > 0)')
    code.append('@on_demand(inputs=["ratio_v1", "channel"])\ndef at_chip_v1(a, b):\n    return a.where(b == "chip")')
    views = [name for name in [*BUGS, *HONEST] if name not in ("untested_v1", "raises_v1", "cents_for_euros_v1")]
    tests = calling(views)
    tests += "\n\ndef test_cents():\n    assert spend.cents_for_euros_v1(SMALL)['x'].tolist() == [10.0, 30.0]\n"
    tests += "\n\ndef test_on_demand():\n    a = b = pd.Series([1.0])\n"
    tests += "".join(f"    spend.{name}(a, b)\n" for name in [*ON_DEMAND_BUGS, "ratio_v1"])
    tests += "    spend.at_chip_v1(a, pd.Series(['chip']))\n"
    return Project(tmp_path_factory.mktemp("planted") / "p", code, tests).check(payments())


def fired(verdict: Verdict, name: str) -> list[Finding]:
    return [f for f in verdict.fired if f.subject == name and f.severity is Severity.FAIL]


@pytest.mark.parametrize(("name", "check"), [(name, check) for name, (_, check) in {**BUGS, **ON_DEMAND_BUGS}.items()])
def test_a_planted_bug_is_found_and_named(verdict: Verdict, name: str, check: str) -> None:
    """PROMISES 6: at least 19 of 20 planted feature bugs are found; here all are."""
    found = fired(verdict, name)
    assert f"features.{check}" in [f.check for f in found], [f.message for f in found]
    for finding in found:
        assert "features/spend.py:" in finding.message
        assert name in finding.message
        assert finding.next_step


def test_there_are_at_least_twenty_planted_bugs() -> None:
    """PROMISES 6."""
    assert len(BUGS) >= 20


@pytest.mark.parametrize("name", [*HONEST, "ratio_v1", "at_chip_v1"])
def test_an_honest_feature_passes(verdict: Verdict, name: str) -> None:
    assert [f.message for f in verdict.findings if f.subject == name and f.fired] == []
    assert [f for f in verdict.findings if f.subject == name and f.outcome is Outcome.PASS]


def test_a_finding_shows_the_entity_the_time_and_both_values(verdict: Verdict) -> None:
    finding = next(f for f in fired(verdict, "next_row_v1") if f.check == "features.look-ahead")
    assert "looks ahead: a later event changes an earlier row. customer_id " in finding.message
    assert "with all rows" in finding.message
    assert "rows differ" in finding.message
    assert finding.rows


def test_a_failing_test_shows_its_line_and_assertion(verdict: Verdict) -> None:
    finding = next(f for f in verdict.fired if f.check == "features.tests")
    assert "test_spend.py" in finding.message
    assert "assert [1000.0, 3000.0] == [10.0, 30.0]" in finding.message
    untested = fired(verdict, "cents_for_euros_v1")[0]
    assert "is called by tests/features/test_spend.py::test_cents alone, which failed" in untested.message


def test_a_view_without_a_test_says_how_to_write_one(verdict: Verdict) -> None:
    finding = fired(verdict, "untested_v1")[0]
    assert "untested_v1 has no test that calls it" in finding.message
    assert "write `def test_untested()` in tests/features/test_spend.py" in finding.next_step


def test_views_without_any_tests_fail(tmp_path: Path) -> None:
    verdict = Project(tmp_path / "p", [HONEST["previous_v1"].replace("NAME", "previous_v1")], None).check(payments(10))
    assert verdict.outcome is Outcome.FAIL
    assert [f.check for f in verdict.fired] == ["features.tested"]


def test_a_plain_table_without_tests_passes_and_says_why(tmp_path: Path) -> None:
    verdict = Project(tmp_path / "p", [], None).check(payments(5))
    assert verdict.outcome is Outcome.PASS
    assert {f.message for f in verdict.findings} == {
        "the project declares no features, so there is none to test",
        "there are no tests in tests/features",
    }


def test_the_tests_of_a_plain_table_run(tmp_path: Path) -> None:
    verdict = Project(tmp_path / "p", [], "def test_sums():\n    assert 1 + 1 == 3\n").check(payments(5))
    assert verdict.outcome is Outcome.FAIL
    assert "assert (1 + 1) == 3" in verdict.fired[0].message


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ("import nowhere\n", "No module named 'nowhere'"),
        ("def test_x(:\n", "SyntaxError"),
        ("import os\ndef test_x():\n    os._exit(3)\n", "pytest ended with code 3"),
        ("def test_x(missing):\n    pass\n", "fixture 'missing' not found"),
        ("import pytest\n@pytest.mark.skip(reason='later')\ndef test_x(): ...\n", "has no test that calls it"),
        ("X = 1\n", "has no test that calls it"),
    ],
)
def test_tests_that_do_not_run_never_pass(tmp_path: Path, tests: str, words: str) -> None:
    """PROMISES 2."""
    verdict = Project(tmp_path / "p", [HONEST["previous_v1"].replace("NAME", "previous_v1")], tests).check(payments(5))
    assert verdict.outcome is Outcome.FAIL
    assert words in "\n".join(f.message for f in verdict.fired)
    assert not list(Path(tmp_path / "p" / ".mlops" / "scratch").iterdir())


def test_the_projects_own_options_of_pytest_do_not_hide_a_test(tmp_path: Path) -> None:
    code = [HONEST["previous_v1"].replace("NAME", "previous_v1")]
    project = Project(tmp_path / "p", code, calling(["previous_v1"]))
    (project.workspace.root / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '-k nothing'\n")
    assert project.check(payments(10)).outcome is Outcome.PASS


OWN = """
from mlops import check

@check(on="features")
def never_negative(view, features, rows):
    assert view in ("previous_v1", "broken_v1")
    assert set(rows.columns) >= {"customer_id", "amount"}
    assert not (features["x"] < 0).any(), f"{view} is negative"

@check(on="features")
def as_many_as_payments(previous_v1, payments):
    return len(previous_v1) > len(payments)
"""


def test_a_users_own_checks_see_what_the_views_give(tmp_path):
    """Promise 2: a view that raises gives nothing to check, and that is no pass."""
    code = [
        HONEST["previous_v1"].replace("NAME", "previous_v1"),
        a_view("raise ValueError('no')").replace("NAME", "broken_v1"),
    ]
    project = Project(tmp_path / "project", code, calling(["previous_v1"]))
    (project.workspace.root / "features" / "rules.py").write_text(OWN)
    found = {(f.check, f.subject): f for f in project.check(payments()).findings if f.check.startswith("own.")}
    assert found["own.never_negative", "previous_v1"].outcome is Outcome.PASS
    assert found["own.never_negative", "broken_v1"].outcome is Outcome.NOT_RUN
    assert "features/rules.py:4" in found["own.never_negative", "broken_v1"].message
    assert found["own.as_many_as_payments", ""].outcome is Outcome.FAIL

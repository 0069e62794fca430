"""Each product workflow, called from a second repository, goes red for a planted fault, in the right step."""

from __future__ import annotations

import pytest

from mlops import __version__
from tests.workflows.conftest import Second
from tests.workflows.runner import OWN, Ran

pytestmark = pytest.mark.acceptance

CALLERS = f"""
name: only
on: workflow_dispatch
permissions: {{}}
jobs:
  skew:
    uses: {OWN}/.github/workflows/check-data.yml@v{__version__}
    with: {{install: none, models: late_v1}}
  nan:
    uses: {OWN}/.github/workflows/train.yml@v{__version__}
    with: {{install: none, model: tumours_v2}}
  worse:
    uses: {OWN}/.github/workflows/train.yml@v{__version__}
    with: {{install: none, model: tumours_v3}}
  slow:
    uses: {OWN}/.github/workflows/package.yml@v{__version__}
    with: {{install: none, model: tumours_v4}}
  strange:
    uses: {OWN}/.github/workflows/deploy.yml@v{__version__}
    with: {{install: none, environment: production, release: "$(touch executed)"}}
  nowhere:
    uses: {OWN}/.github/workflows/rollback.yml@v{__version__}
    with: {{install: none, environment: "staging; id"}}
  unwatched:
    uses: {OWN}/.github/workflows/monitor.yml@v{__version__}
    with: {{install: none, environment: nowhere}}
  silent:
    uses: {OWN}/.github/workflows/report.yml@v{__version__}
    with: {{install: none, models: '["tumours_v1"'}}
  unknown:
    uses: {OWN}/.github/workflows/sign.yml@v{__version__}
    with: {{install: none, releases: '["tumours_v9-000000000000"]'}}
  unsigned:
    uses: {OWN}/.github/workflows/attest.yml@v{__version__}
    with: {{install: none, releases: '["tumours_v9-000000000000"]'}}
"""

MODELS = '''

class NoNumbers(ClassifierMixin, BaseEstimator):
    """A model whose sums overflow."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), np.nan)


@model(source="tumours", label="target", task="binary", metric="roc_auc")
def tumours_v2(X: pd.DataFrame, y: pd.Series, params: Mapping[str, Any]) -> Pipeline:
    """Answers that are no numbers."""
    return Pipeline([("none", NoNumbers())]).fit(X, y)


@model(source="tumours", label="target", task="binary", metric="roc_auc")
def tumours_v3(X: pd.DataFrame, y: pd.Series, params: Mapping[str, Any]) -> Pipeline:
    """Learns from one column alone."""
    one = ColumnTransformer([("one", "passthrough", ["smoothness error"])])
    return Pipeline([("one", one), ("boost", HistGradientBoostingClassifier(max_iter=5))]).fit(X, y)


@model(source="tumours", label="target", task="binary", metric="roc_auc", features=[slowly_v1])
def tumours_v4(X: pd.DataFrame, y: pd.Series, params: Mapping[str, Any]) -> Pipeline:
    """Waits for its feature."""
    return Pipeline([("boost", HistGradientBoostingClassifier(max_iter=20, random_state=0))]).fit(X, y)


@model(source="late", label="target", task="binary", metric="roc_auc")
def late_v1(X: pd.DataFrame, y: pd.Series, params: Mapping[str, Any]) -> Pipeline:
    """Reads the skewed table."""
    return Pipeline([("boost", HistGradientBoostingClassifier(max_iter=20, random_state=0))]).fit(X, y)
'''

FEATURES = '''
import time

import pandas as pd
from mlops import on_demand


@on_demand(inputs=["mean radius"])
def slowly_v1(radius: pd.Series) -> pd.Series:
    """The radius, from far away."""
    time.sleep(0.08)
    return radius * 2
'''

RATIO = '''
import pandas as pd
from mlops import on_demand


@on_demand(inputs=["worst radius", "mean radius"])
def worst_over_mean_v1(worst: pd.Series, mean: pd.Series) -> pd.Series:
    """How many times the mean the worst is; the planted bug divides the wrong way round."""
    return mean / worst
'''
RATIO_TEST = """
import pandas as pd
from features.ratio import worst_over_mean_v1


def test_the_worst_is_compared_with_the_mean():
    assert list(worst_over_mean_v1(pd.Series([30.0]), pd.Series([10.0]))) == [3.0]
"""

IMPORTS = """
import numpy as np
from features.slow import slowly_v1
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
"""


def ran_with_faults(second: Second) -> Ran:
    """One run of a workflow whose jobs each call one product, on a branch with a fault for each."""
    second.branch("planted")
    (second.root / ".github/workflows/only.yml").write_text(CALLERS)
    (second.root / "features/slow.py").write_text(FEATURES)
    second.edit("models/tumours.py", "import pandas as pd\n", f"import pandas as pd\n{IMPORTS}")
    module = second.root / "models/tumours.py"
    module.write_text(module.read_text() + MODELS)
    table = (second.root / "data/tumours.csv").read_text().replace("mean radius", "mean_radius", 1)
    (second.root / "data/late.csv").write_text(table)
    schema = (second.root / "features/tumours.schema.yaml").read_text()
    (second.root / "features/late.schema.yaml").write_text(schema)
    second.edit("pyproject.toml", "p99_ms = 5000", "p99_ms = 40")
    second.edit("pyproject.toml", "[tool.mlops.models.tumours]", SOURCE)
    second.commit("Plant faults")
    ran = second.run("workflow_dispatch", "only.yml", {"inputs": {}, "ref": "refs/heads/planted"}, {"head_branch": "x"})
    second.git("checkout", "--quiet", "main")
    return ran


SOURCE = """[tool.mlops.sources.late]
path = "data/late.csv"

[tool.mlops.models.late]
floor = 0.5

[tool.mlops.models.tumours]"""


def red(ran: Ran, job: str, command: str) -> str:
    """The summary of a job of which one command, and nothing before it, failed."""
    found = ran.red_of(job)
    assert found, f"{job} is green\n{ran}"
    assert found[0].startswith(command), f"{found}\n{ran.summaries.get(job)}\n{ran.log[-4000:]}"
    return ran.summaries[job]


def schema_skew_stops_check_data(planted):
    said = red(planted, "skew", "mlops check-data")
    assert "schema.column" in said
    assert "mean radius" in said


def answers_that_are_no_numbers_stop_train(planted):
    assert "train.finite" in red(planted, "nan", "mlops train")


def a_worse_model_stops_check_model_after_training(planted):
    said = red(planted, "worse", "mlops check-model")
    assert "model.floor" in said


def a_slow_service_stops_check_service_after_packaging(planted):
    said = red(planted, "slow", "mlops check-service")
    assert "service.latency" in said


def a_release_that_is_none_stops_deploy(planted):
    """Promise 22, in a run."""
    said = red(planted, "strange", "mlops deploy")
    assert "there is no release" in said
    assert "uid=" not in planted.log


def an_environment_that_is_none_stops_rollback(planted):
    """Promise 22, in a run."""
    assert "staging; id" in red(planted, "nowhere", "mlops rollback")
    assert "uid=" not in planted.log


def an_environment_that_is_none_stops_monitor(planted):
    assert "nowhere" in red(planted, "unwatched", "mlops monitor")


def models_that_are_no_list_stop_report(planted):
    assert "--expect" in red(planted, "silent", "mlops report")


def what_was_never_released_is_not_signed(planted):
    assert planted.red_of("unsigned") == ["Sign the manifest, which names the digest of every file of the release"]


def a_release_that_is_none_stops_sign(planted):
    assert "there is no release" in red(planted, "unknown", "mlops sign")


CLAIMS = (
    schema_skew_stops_check_data,
    answers_that_are_no_numbers_stop_train,
    a_worse_model_stops_check_model_after_training,
    a_slow_service_stops_check_service_after_packaging,
    a_release_that_is_none_stops_deploy,
    an_environment_that_is_none_stops_rollback,
    an_environment_that_is_none_stops_monitor,
    models_that_are_no_list_stop_report,
    what_was_never_released_is_not_signed,
    a_release_that_is_none_stops_sign,
)


def test_each_product_goes_red_for_its_fault(second, subtests):
    """Promise 23."""
    planted = ran_with_faults(second)
    for claim in CLAIMS:
        with subtests.test(claim.__name__.replace("_", " ")):
            claim(planted)


def test_a_plan_that_fails_has_a_red_verdict_and_not_a_skipped_one(second):
    """A job that was skipped passes where a branch requires its check."""
    second.branch("unplanned")
    second.edit("models/tumours.py", "import pandas as pd\n", "import pandas as pd\nimport nothing_of_that_name\n")
    second.commit("Import what is not there")
    ran = second.pull_request(6)
    second.git("checkout", "--quiet", "main")
    assert ran.code == 1, ran
    assert ran.red[0].startswith("plan: mlops plan"), ran
    assert [step for step in ran.red if step.startswith("verdict: mlops report")], ran
    assert not ran.jobs & {"check-features", "check-data", "train", "package"}


def test_a_feature_bug_stops_a_pull_request_before_anything_is_trained(second):
    """Promise 23: `check-features`, and `pipeline` with it."""
    second.branch("bug")
    (second.root / "features/ratio.py").write_text(RATIO)
    (second.root / "tests/features/test_ratio.py").write_text(RATIO_TEST)
    second.edit(
        "models/tumours.py", '    metric="roc_auc",\n', '    metric="roc_auc",\n    features=[worst_over_mean_v1],\n'
    )
    second.edit(
        "models/tumours.py",
        "import pandas as pd\n",
        "import pandas as pd\nfrom features.ratio import worst_over_mean_v1\n",
    )
    second.commit("How much worse the worst is")
    ran = second.pull_request(5)
    second.git("checkout", "--quiet", "main")
    assert ran.code == 1, ran
    assert [step for step in ran.red if step.startswith("check-features: mlops check-features")] == ran.red, ran
    assert not ran.jobs & {"train", "package"}
    assert "features.tests" in ran.summary
    assert "test_the_worst_is_compared_with_the_mean" in ran.summary

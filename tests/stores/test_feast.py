"""The home in Feast: its conformance suite and what else needs Feast, run in Feast's own environment, test by test.

Feast needs an older pandas than ours. `make test` prepares `.venv/feast`; `feast_home.py` is what runs there, once, and
each of its classes is a test here.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from mlops.config import Config, Store
from mlops.errors import ConfigError, UsageError
from mlops.stores import open_store
from mlops.workspace import Workspace

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "feast" / "bin" / "python"
INSIDE = Path(__file__).with_name("feast_home.py")
CLASSES = [
    node.name
    for node in ast.parse(INSIDE.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
]
_SECONDS = 900


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ET.Element]]:
    """The tests that ran in Feast's environment, by their class."""
    if not PYTHON.exists():
        pytest.skip("Feast's environment is not there: make .venv/feast/ready")
    report = tmp_path_factory.mktemp("feast") / "report.xml"
    command = [str(PYTHON), "-m", "pytest", str(INSIDE), "-q", "-n", "2", "--dist", "loadscope", f"--junitxml={report}"]
    own = ("PYTEST_", "COV_", "MLFLOW_", "MLOPS_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=ROOT, env=variables, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert report.exists(), ran.stdout + ran.stderr
    cases: dict[str, list[ET.Element]] = {}
    for case in ET.parse(report).iter("testcase"):
        cases.setdefault(case.attrib["classname"].rpartition(".")[2], []).append(case)
    assert cases, ran.stdout + ran.stderr
    return cases


@pytest.mark.parametrize("name", CLASSES)
def test_in_feast_s_environment(inside: dict[str, list[ET.Element]], name: str) -> None:
    """Promise 5: the same rule of time in both homes, over SQLite, a real Redis and a real PostgreSQL."""
    cases = inside.get(name, [])
    wrong = [(case, case.find("failure"), case.find("error")) for case in cases]
    told = [
        f"{case.attrib['name']}\n{element.text}"
        for case, *elements in wrong
        for element in elements
        if element is not None
    ]
    assert not told, "\n\n".join(told)
    reasons = [str(skipped.get("message")) for case in cases if (skipped := case.find("skipped")) is not None]
    if cases and len(reasons) == len(cases):
        pytest.skip(reasons[0])
    assert cases, f"no test of {name} ran"
    assert not reasons


def test_the_suite_s_environment_is_what_the_lock_says() -> None:
    """Who changes a dependency runs `make lock`; a lock that lags behind would test another Feast."""
    text = (ROOT / "requirements-feast.lock").read_text(encoding="utf-8")
    assert "\nfeast==" in text
    assert "index-url" not in text
    assert all("--hash=sha256:" in text.split(f"\n{line}", 1)[1][:400] for line in ("feast==", "pandas==", "redis=="))


def test_a_project_without_feast_in_its_environment_is_told_what_to_install(tmp_path: Path) -> None:
    if _has_feast():
        pytest.skip("Feast is installed here")
    repo = tmp_path / "feature_repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text("project: shop\n")
    workspace = Workspace(tmp_path, Config(name="shop", store=Store(home="feast")))
    with pytest.raises(UsageError, match="Feast cannot be imported") as told:
        open_store(workspace)
    assert "mlops[feast]" in told.value.next_step


def test_a_project_without_a_feature_store_yaml_is_told_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, Config(name="shop", store=Store(home="feast", repo="elsewhere")))
    with pytest.raises(ConfigError, match=r"there is no .*elsewhere/feature_store.yaml"):
        open_store(workspace)


def test_the_embedded_home_imports_no_feast_and_no_pandas_for_its_reads() -> None:
    program = (
        "import sys, mlops.stores.reading, mlops.serving.host; "
        "print(sorted({'feast', 'duckdb', 'requests', 'mlops.adapters.feast'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def _has_feast() -> bool:
    from importlib.util import find_spec

    return find_spec("feast") is not None

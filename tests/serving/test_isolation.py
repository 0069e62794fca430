from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from mlops.serving.isolation import ReleaseCode
from tests.serving.releases import write_features


@pytest.fixture
def sources(tmp_path):
    for name, factor in (("a", 1.0), ("b", 5.0)):
        write_features(tmp_path / name, factor)
    return tmp_path


def test_two_releases_with_the_same_package_coexist(sources):
    first, second = ReleaseCode(sources / "a"), ReleaseCode(sources / "b")
    amount, mean = pd.Series([8.0]), pd.Series([1.0])
    one, other = first.function("features.money", "ratio_v1"), second.function("features.money", "ratio_v1")
    assert one(amount, mean).tolist() == [4.0]
    assert other(amount, mean).tolist() == [20.0]
    assert one(amount, mean).tolist() == [4.0]
    first.close()
    assert other(amount, mean).tolist() == [20.0]
    second.close()


def test_nothing_is_left_or_shared_in_the_process(sources):
    before = set(sys.modules), list(sys.meta_path), list(sys.path)
    code = ReleaseCode(sources / "a")
    code.function("features.money", "ratio_v1")
    assert not {"features", "features.money"} & (set(sys.modules) - before[0])
    code.close()
    assert (set(sys.modules), list(sys.meta_path), list(sys.path)) == before


def test_no_bytecode_is_written_or_read(sources):
    program = (
        "import sys; from pathlib import Path; from mlops.serving.isolation import ReleaseCode;"
        "assert not sys.dont_write_bytecode;"
        "ReleaseCode(Path(sys.argv[1])).function('features.money', 'ratio_v1')"
    )
    done = subprocess.run([sys.executable, "-c", program, str(sources / "a")], env={}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list((sources / "a").rglob("*.pyc"))


def test_dataclasses_and_whole_module_imports_work(tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "__init__.py").write_text("")
    (tmp_path / "helpers.py").write_text("def two():\n    return 2\n")
    (tmp_path / "features" / "shapes.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import helpers\n"
        "import features.more as more\n"
        "@dataclass\n"
        "class Point:\n"
        "    x: int\n"
        "def answer():\n"
        "    return Point(helpers.two()).x + more.ONE\n"
    )
    (tmp_path / "features" / "more.py").write_text("ONE = 1\n")
    code = ReleaseCode(tmp_path)
    assert code.function("features.shapes", "answer")() == 3
    code.close()


def test_a_module_that_is_not_there_says_so(sources):
    code = ReleaseCode(sources / "a")
    with pytest.raises(ModuleNotFoundError):
        code.function("features.nowhere", "x")
    code.close()

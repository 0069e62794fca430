"""Bentofiles, locks, and what is said when BentoML cannot build."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from mlops.adapters.bento import SERVICE, Bentofile, Builder, Plan, locked, read_bentofile
from mlops.errors import ConfigError, OutsideError


def test_a_bentofile_is_read(tmp_path: Path) -> None:
    (tmp_path / "bentofile.yaml").write_text('service: "a:B"\nlabels: {team: x}\npython: {packages: [shapely]}\n')
    found = read_bentofile(tmp_path)
    assert found.service == "a:B"
    assert found.labels == {"team": "x"}
    assert found.python == {"packages": ["shapely"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("service: [", "bentofile.yaml"),
        ("service: 3", "Expected `str`"),
        ("- a", "Expected `object`"),
        ("conda: {}", "the key 'conda' is not supported"),
    ],
)
def test_a_wrong_bentofile_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bentofile.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_bentofile(tmp_path)


def test_our_own_bentofile_is_sound() -> None:
    assert read_bentofile(Path(__file__).parents[2]).service == SERVICE


def test_a_lock_is_exact_whole_and_sorted() -> None:
    found = locked(["skops"])
    assert f"scikit-learn=={metadata.version('scikit-learn')}" in found
    assert f"numpy=={metadata.version('numpy')}" in found
    assert list(found) == sorted(found)
    assert locked(["there-is-no-such-package"]) == ()


def plan(context: Path, service: str) -> Plan:
    context.mkdir()
    (context / "own.py").write_text("import bentoml\n\n@bentoml.service(name='own')\nclass Own: ...\n")
    return Plan(
        context=context,
        name="risk_v1",
        version="abc",
        bentofile=Bentofile(service=service, python={"packages": ["numpy==1.0"]}),
        requirements=["msgspec==0.19", "numpy==2.0", "bentoml==1.0"],
    )


def test_a_service_of_ones_own_is_built_and_ones_own_pins_win(tmp_path: Path) -> None:
    with Builder(tmp_path / "home", "own:Own") as builder:
        folder = builder.build(plan(tmp_path / "context", "own:Own"))
    assert (folder / "src/own.py").exists()
    assert "creation_time: '1980-01-01T00:00:00+00:00'" in (folder / "bento.yaml").read_text()
    wanted = (folder / "env/python/requirements.txt").read_text().split()
    assert wanted[:2] == ["msgspec==0.19", "numpy==1.0"]
    assert [w for w in wanted if w.startswith("bentoml")] == [f"bentoml=={metadata.version('bentoml')}"]


def test_what_bentoml_cannot_build_is_said_in_its_words(tmp_path: Path) -> None:
    with (
        Builder(tmp_path / "home", "own:Other") as builder,
        pytest.raises(OutsideError, match=r"could not build risk_v1.*Other"),
    ):
        builder.build(plan(tmp_path / "context", "own:Other"))


def test_a_builder_that_is_not_used_ends(tmp_path: Path) -> None:
    with Builder(tmp_path / "home") as builder:
        process = builder._process
    assert process is not None
    assert process.poll() is not None

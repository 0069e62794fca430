"""Which release is the one to beat, and what happens when it is lost."""

from __future__ import annotations

import dataclasses
import shutil

import msgspec
import pytest

from mlops import champion
from mlops.adapters.index import Index
from mlops.errors import GateFailed
from mlops.release import MANIFEST, PAYLOAD, name_of
from mlops.serving.integrity import read_manifest
from mlops.steps.deploy import deploy
from mlops.verdict import Outcome, Record
from tests import small


@pytest.fixture
def workspace(shop):
    return small.opened(shop)


@pytest.fixture
def release(released):
    return released[1].report.releases[0]


def descend(workspace, parent, seed):
    """A release like `parent` by another seed, judged against it, made of other work; live in staging."""
    source = workspace.releases / parent
    records, params = {"train:churn_v1": f"key of {seed}"}, {"seed": seed}
    manifest = dataclasses.replace(read_manifest(source), champion=parent, records=records, params=params)
    manifest = dataclasses.replace(manifest, release=name_of(msgspec.to_builtins(manifest)))
    folder = shutil.copytree(source, workspace.releases / manifest.release)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    deploy(workspace, environment="staging", release=manifest.release)
    return manifest


def work(key):
    return Record(step="train", subject="churn_v1", key=key)


def test_what_is_live_in_production_comes_before_what_is_live_elsewhere(workspace, release):
    assert champion.live(workspace, "churn", "staging").release == release
    other = descend(workspace, release, 1).release
    assert champion.live(workspace, "churn", "staging").release == other
    deploy(workspace, environment="production", release=release)
    assert champion.live(workspace, "churn", "staging").release == release


def test_where_nothing_is_live_there_is_no_champion(tmp_path):
    workspace = small.opened(small.churn(tmp_path / "shop"))
    assert champion.live(workspace, "churn", "staging") is None
    assert champion.against(workspace, "churn", "staging", work("k")) is None
    assert champion.beside(workspace, "churn", "staging", work("k")) is None
    assert champion.views(workspace, "churn", "staging") == ()


def test_new_work_is_judged_against_what_is_live(workspace, release):
    assert champion.against(workspace, "churn", "staging", work("new")).release == release


def test_work_that_is_live_already_is_judged_against_what_was_before_it(workspace, release):
    second = descend(workspace, release, 1)
    third = descend(workspace, second.release, 2)
    assert champion.against(workspace, "churn", "staging", work("key of 2")).release == second.release
    assert champion.against(workspace, "churn", "staging", work("key of 1")).release == release
    assert champion.against(workspace, "churn", "staging", work("new")).release == third.release


def test_a_release_that_was_packaged_anew_is_loaded_beside_the_one_before(shop, release):
    """The whole way: the same training in another bento, then the same push again, which computes nothing."""
    small.edit(shop / "pyproject.toml", "margin = 0.2", "margin = 0.2\n[tool.mlops.package]\ngolden = 4")
    ran = small.go(shop)
    [other] = ran.report.releases
    manifest = read_manifest(shop / ".mlops" / "releases" / other)
    assert (manifest.champion, manifest.beside) == ("", release), "judged as before, served in another form"
    record = ran.record("check-service:churn_v1")
    [compared] = [one for one in record.verdict.findings if one.check == "service.champion"]
    assert compared.outcome is Outcome.PASS
    assert f"of {release}; limit 20 times" in compared.message
    assert record.metrics["champion_qps"] > 0
    assert "check-service:churn_v1" in ran.computed
    again = small.go(shop)
    assert again.computed == []
    assert again.report.releases == (other,)


def test_a_champion_whose_bento_was_changed_is_compared_with_nobody(workspace, release):
    """Promise 10."""
    manifest = read_manifest(workspace.releases / release)
    assert champion.bento(workspace, manifest).is_dir()
    (workspace.releases / release / PAYLOAD / "contract.json").write_bytes(b"{}")
    with pytest.raises(GateFailed, match=release):
        champion.bento(workspace, manifest)


def test_work_without_a_key_is_nobodys_work(workspace, release):
    assert champion.against(workspace, "churn", "staging", work("")).release == release


def test_a_circle_of_champions_ends(workspace, release):
    second = descend(workspace, release, 1)
    file = workspace.releases / release / MANIFEST
    manifest = dataclasses.replace(read_manifest(file.parent), champion=second.release)
    file.write_bytes(msgspec.json.encode(manifest))
    assert champion.against(workspace, "churn", "staging", work("new")).release == second.release


@pytest.mark.parametrize("harm", ["folder", "manifest", "contract"])
def test_a_lost_champion_stops_the_run_with_a_sentence(harm, shop, release):
    """What cannot be compared is not accepted."""
    folder = shop / ".mlops" / "releases" / release
    if harm == "folder":
        shutil.rmtree(folder)
    elif harm == "manifest":
        (folder / MANIFEST).write_bytes(b"{")
    else:
        (folder / PAYLOAD / "contract.json").write_bytes(b"{}")
    with pytest.raises(GateFailed, match=release) as caught:
        small.go(shop)
    assert "restore" in caught.value.next_step


def test_a_release_is_fitted_anew_by_cross_validation_out_of_what_its_training_recorded(shop):
    """The whole way: two runs, the second judged by clones of both on the same folds."""
    small.edit(
        shop / "pyproject.toml", "margin = 0.2", 'margin = 0.2\nevidence = "cross-validation"\nfolds = 3\nrepeats = 2'
    )
    with (shop / "models" / "churn.py").open("a") as file:
        file.write(small.SECOND)
    ran = small.go(shop, "churn_v2", until="check-model")
    verdict = ran.record("check-model:churn_v2").verdict
    [found] = [one for one in verdict.findings if one.check == "model.champion"]
    assert found.outcome is Outcome.PASS, found
    assert "2 times 3-fold cross-validation" in found.message
    assert "churn_v1-" in found.message


def test_a_release_whose_training_was_cleaned_away_cannot_be_fitted_anew(shop, release):
    workspace = small.opened(shop)
    small.edit(
        shop / "pyproject.toml", "margin = 0.2", 'margin = 0.2\nevidence = "cross-validation"\nfolds = 3\nrepeats = 2'
    )
    index = Index(workspace.home / "index.db")
    fit = index.find(read_manifest(workspace.releases / release).records["train:churn_v1"])
    workspace.objects.path(fit.outputs["model"]).unlink()
    with (shop / "models" / "churn.py").open("a") as file:
        file.write(small.SECOND)
    verdict = small.go(shop, "churn_v2", until="check-model").record("check-model:churn_v2").verdict
    [found] = [one for one in verdict.findings if one.check == "model.champion"]
    assert found.outcome is Outcome.INSUFFICIENT
    assert "not in this store" in found.message

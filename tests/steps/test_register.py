"""A release is put in place whole or not at all, and only with every gate's yes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlops.adapters.index import Index
from mlops.errors import GateFailed, OutsideError
from mlops.release import MANIFEST, PAYLOAD
from mlops.serving.integrity import read_manifest, verify
from mlops.steps.register import Work, is_whole, register
from mlops.verdict import Finding, Outcome, Verdict
from tests import small


@pytest.fixture
def workspace(shop):
    return small.opened(shop)


@pytest.fixture
def work(workspace):
    """The records of the run that made the release."""
    index = Index(workspace.home / "index.db")
    records = {record.name: record for record in index.records()}
    index.close()
    gates = ("check-features", "check-data:customers", "check-data:churn_v1", "check-model:churn_v1")
    return Work(
        snapshots=(records["snapshot:customers"],),
        assembled=records["assemble:churn_v1"],
        trained=records["train:churn_v1"],
        checked=records["check-model:churn_v1"],
        packaged=records["package:churn_v1"],
        gates=tuple(records[name] for name in (*gates, "package:churn_v1", "check-service:churn_v1")),
        code="c" * 64,
        features={},
        commit="1" * 40,
        dirty=False,
    )


@pytest.fixture
def put(workspace):
    """Registers work, and remembers what the ledger was told."""
    told = []

    def ledger(manifest, contract, payload):
        assert Path(payload).is_dir(), "the ledger hears of a release that is there"
        told.append(manifest)
        return "7", "run"

    def go(work):
        model = workspace.catalog.models["churn_v1"]
        return register(workspace, model=model, work=work, record_release=ledger)

    go.told = told
    return go


def judged(record, *findings):
    verdict = Verdict(gate=record.step, subject=record.subject, findings=findings)
    return dataclasses.replace(record, verdict=verdict)


def there(workspace):
    return sorted(path.name for path in workspace.releases.iterdir())


def test_a_release_is_a_whole_folder_named_by_its_content(put, work, workspace):
    record = put(work)
    name = record.facts["release"]
    manifest = verify(workspace.releases / name)
    assert (record.facts["version"], record.run_id) == ("7", "run")
    assert manifest.evidence == dict.fromkeys([gate.name for gate in work.gates], "pass")
    assert manifest.snapshot == {"customers": work.snapshots[0].outputs["data"]}
    assert manifest.records["train:churn_v1"] == work.trained.key


def test_the_same_work_is_the_same_release_whoever_does_it(put, work, workspace):
    first = put(work).facts["release"]
    again = put(dataclasses.replace(work, commit="2" * 40, dirty=True)).facts["release"]
    assert again == first
    assert read_manifest(workspace.releases / first).commit == "1" * 40, "what is there stays as it is"


@pytest.mark.parametrize(
    "other",
    [
        lambda work: dataclasses.replace(work, code="d" * 64),
        lambda work: dataclasses.replace(work, features={"spend_v1": "e" * 64}),
        lambda work: dataclasses.replace(
            work, snapshots=(dataclasses.replace(work.snapshots[0], outputs={"data": "f" * 64}),)
        ),
        lambda work: dataclasses.replace(work, trained=dataclasses.replace(work.trained, params={"depth": 3})),
    ],
    ids=["code", "features", "data", "params"],
)
def test_other_work_is_another_release(put, work, other):
    assert put(other(work)).facts["release"] != put(work).facts["release"]


@pytest.mark.parametrize("position", range(6))
def test_a_missing_verdict_of_any_gate_is_refused(put, work, workspace, position):
    """Promise 2, a part."""
    before = there(workspace)
    gates = list(work.gates)
    gates[position] = dataclasses.replace(gates[position], verdict=None)
    with pytest.raises(GateFailed, match=gates[position].name) as caught:
        put(dataclasses.replace(work, gates=tuple(gates)))
    assert f"mlops {gates[position].step}" in caught.value.next_step
    assert (put.told, there(workspace)) == ([], before)


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.INSUFFICIENT, Outcome.NOT_RUN, Outcome.SKIPPED])
def test_anything_but_a_yes_is_refused(put, work, outcome):
    """Promise 2, a part."""
    refused = judged(work.gates[0], Finding(check="c", outcome=outcome, message="m"))
    with pytest.raises(GateFailed):
        put(dataclasses.replace(work, gates=(refused, *work.gates[1:])))
    assert put.told == []


def test_an_overridden_gate_is_a_yes_that_the_manifest_shows(put, work, workspace):
    overridden = judged(work.gates[0], Finding(check="c", outcome=Outcome.OVERRIDDEN, message="ann, until friday"))
    record = put(dataclasses.replace(work, code="d" * 64, gates=(overridden, *work.gates[1:])))
    assert read_manifest(workspace.releases / record.facts["release"]).evidence[overridden.name] == "overridden"


@pytest.mark.parametrize("harm", ["changed", "removed"])
def test_a_damaged_object_leaves_no_half_release_and_is_made_anew_by_the_next_run(put, work, workspace, shop, harm):
    """Promise 16, a part."""
    digest = workspace.objects.get_json(work.packaged.outputs["bento"])["src/release/contract.json"]
    place = workspace.objects.path(digest)
    place.unlink()
    if harm == "changed":
        place.write_bytes(b"{}")
    before = there(workspace)
    with pytest.raises(OutsideError) as caught:
        put(dataclasses.replace(work, code="d" * 64))
    assert caught.value.next_step
    assert (put.told, there(workspace)) == ([], before)
    ran = small.go(shop, until="package", environment=None)
    assert not ran.errors, ran
    assert "package:churn_v1" in ran.computed


@pytest.mark.parametrize("harm", ["changed", "removed", "added", "manifest"])
def test_a_damaged_release_is_replaced_by_the_whole_one(put, work, workspace, harm):
    name = put(work).facts["release"]
    folder = workspace.releases / name
    contract = folder / PAYLOAD / "contract.json"
    if harm == "changed":
        contract.write_bytes(b"{}")
    elif harm == "removed":
        contract.unlink()
    elif harm == "added":
        (folder / PAYLOAD / "more.py").write_text("import os")
    else:
        (folder / MANIFEST).write_bytes(b"{")
    assert not is_whole(folder)
    assert put(work).facts["release"] == name
    assert is_whole(folder)


def test_when_the_ledger_fails_the_release_is_there_but_not_recorded(work, workspace):
    """The next run records it: nothing that is live depends on it."""

    def away(*_):
        raise OutsideError("the ledger is away", next_step="wait")

    other = dataclasses.replace(work, code="d" * 64)
    with pytest.raises(OutsideError):
        register(workspace, model=workspace.catalog.models["churn_v1"], work=other, record_release=away)
    for name in there(workspace):
        verify(workspace.releases / name)

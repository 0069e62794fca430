"""The life of a repository that `mlops init` wrote, under act with real events: pull request, merge, rollback.

Every run takes over what the runs before it handed on, as on GitHub; nothing is edited by hand but a model. One test,
so that no two workers live it twice; each claim is a part of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest

from tests.key_pairs import pair
from tests.workflows.conftest import Second
from tests.workflows.runner import Ran

pytestmark = pytest.mark.acceptance


@dataclass
class Life:
    """What happened so far."""

    first: Ran
    first_release: str
    pull: Ran
    head: str
    merge: Ran


def released(ran: Ran) -> str:
    """The release that a run made live."""
    (name,) = set(re.findall(r"production: (\S+) is live", ran.log))
    return name


SIGNING = """
[tool.mlops.environments.staging]
port = 3001
require_signature = true

[tool.mlops.environments.production]

[tool.mlops.signing]
method = "key"
public_key = "release.pub"
"""


def sign_from_now_on(second: Second) -> None:
    """The project demands signatures in staging; the private key is a secret of the repository."""
    private, public = pair()
    second.secrets["MLOPS_SIGNING_KEY"] = private
    (second.root / "release.pub").write_bytes(public)
    with (second.root / "pyproject.toml").open("a") as file:
        file.write(SIGNING)


def lived(second: Second) -> Life:
    """A first push, then a pull request that teaches the model faster and demands signatures, and its merge."""
    first = second.push("0" * 40)
    assert first.code == 0, first
    second.branch("faster")
    sign_from_now_on(second)
    second.edit("models/tumours.py", '"learning_rate", 0.1', '"learning_rate", 0.15')
    head = second.commit("Learn faster")
    pull = second.pull_request(7)
    assert pull.code == 0, pull
    before = second.git("rev-parse", "main")
    second.git("checkout", "--quiet", "main")
    second.git("merge", "--quiet", "--no-ff", "--message", "Merge pull request 7", "faster")
    after = second.git("rev-parse", "HEAD")
    home = {"full_name": second.repository["full_name"]}
    second.api.kept.pulls_of[after] = [
        {"merged_at": "2026-11-30T12:00:00Z", "merge_commit_sha": after, "head": {"sha": head, "repo": home}}
    ]
    merge = second.push(before)
    assert merge.code == 0, merge
    return Life(first, released(first), pull, head, merge)


def the_first_push_runs_every_step_and_is_live_in_both_environments(second, life):
    """Promise 23: each product passes once, called from another repository."""
    ran = [line.split()[1] for line in life.first.commands]
    gates = ["check-data", "check-features", "check-model", "check-service", "package", "train"]
    assert sorted(set(ran) & set(gates)) == gates
    assert life.first.jobs >= {"attest", "deploy", "verdict"}
    assert f"staging: {life.first_release} is live" in life.first.log
    assert f"production: {life.first_release} is live (before: nothing)" in life.first.log


def a_pull_request_is_judged_against_what_is_live_and_deploys_nothing(second, life):
    assert "deploy" not in life.pull.jobs
    assert "tumours_v1" in life.pull.summary
    assert life.first_release in life.pull.summary, "the champion was taken over from the push to main"


def a_pull_request_gets_one_comment_with_its_verdict_and_a_status_for_each_gate(second, life):
    (comment,) = second.api.kept.comments[7]
    assert "PASS" in comment["body"].upper()
    assert {one["sha"] for one in second.api.kept.statuses} == {life.head}
    assert {one["state"] for one in second.api.kept.statuses} == {"success"}


def a_merge_computes_nothing_again_and_deploys_what_was_tested(second, life):
    reused = re.findall(r"^✓ (\S+) .* reused ", life.merge.log, re.MULTILINE)
    assert {"train", "check-model", "package", "check-service"} <= set(reused)
    assert not re.findall(r"^✓ (train|package|check-service) +\S+ +[0-9.]+ s", life.merge.log, re.MULTILINE)
    tested = set(re.findall(r"tumours_v1-[0-9a-f]{12}", life.pull.log)) - {life.first_release}
    assert {released(life.merge)} == tested


def what_is_merged_is_signed_before_staging_which_demands_it(second, life):
    """Promise 23: by a key, which no job of the pull request was given; by an identity act cannot."""
    assert "sign" not in life.first.jobs, "nothing asked for it"
    (said,) = re.findall(r"(\S+) signed by the key in MLOPS_SIGNING_KEY", life.merge.log)
    assert said == released(life.merge)
    commands = [step.split()[1] for step in life.merge.commands]
    assert commands.index("sign") < commands.index("run", commands.index("sign"))
    assert f"staging: {said} is live" in life.merge.log
    assert "mlops sign" not in str(life.pull.commands)
    assert second.secrets["MLOPS_SIGNING_KEY"].splitlines()[1] not in life.merge.log


def the_summary_says_what_it_costs_that_state_travels_and_how_to_leave_it(second, life):
    assert "Handed on as an artifact" in life.first.summary
    assert "what is live in production, for as long as the artifact is kept" in life.first.summary
    assert "docs/github.md#state" in life.first.summary


def github_is_told_what_is_live_where(second, life):
    places = [one["environment"] for one in second.api.kept.deployments]
    assert places.count("staging") >= 2
    assert places.count("production") >= 2


def each_model_that_was_packaged_has_its_bill_of_materials(second, life):
    kept = sorted((second.github.artifacts / str(life.pull.number)).glob("mlops-sbom-*/*.cdx.json"))
    (told,) = [json.loads(file.read_text(encoding="utf-8")) for file in kept]
    assert told["bomFormat"] == "CycloneDX"
    (model,) = [one for one in told["components"] if one["type"] == "machine-learning-model"]
    assert kept[0].name == f"{model['name']}.cdx.json"
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"], "train.yml has judged it before"


def a_pull_request_that_affects_nothing_is_a_quick_green_with_that_sentence(second, life):
    second.branch("words")
    (second.root / "README.md").write_text("Better words.\n")
    second.commit("Better words")
    ran = second.pull_request(8)
    assert (ran.code, ran.red) == (0, []), ran
    assert ran.jobs == {"plan", "report"}
    assert "Nothing that a model reads has changed" in ran.summary
    assert second.api.kept.statuses[-1]["sha"] == second.git("rev-parse", "HEAD")
    assert second.api.kept.statuses[-1]["state"] == "success"
    assert 8 not in second.api.kept.comments


def a_fork_s_pull_request_is_judged_and_writes_nothing(second, life):
    """Promise 21, in a run."""
    asked = len(second.api.requests)
    second.git("checkout", "--quiet", "-B", "main-of-mine", life.head)  # what the merge brought, so all of it is known
    ran = second.pull_request(9, fork=True, base=f"{life.head}^")
    assert (ran.code, ran.red) == (0, []), ran
    assert "report" not in ran.jobs
    assert "PASS" in ran.summary
    assert {one.method for one in second.api.requests[asked:]} == {"GET"}
    second.git("checkout", "--quiet", "main")
    assert not [one for one in second.api.kept.artifacts[ran.number] if one["workflow_run"]["head_repository_id"] == 1]


def the_button_rolls_production_back_to_what_was_live_before(second, life):
    second.git("checkout", "--quiet", "main")
    inputs = {"environment": "production", "release": "previous", "model": "", "reason": "it's `odd`; $(id)"}
    ran = second.run("workflow_dispatch", "rollback.yml", {"inputs": inputs, "ref": "refs/heads/main"})
    assert (ran.code, ran.red) == (0, []), ran
    assert f"production: {life.first_release} is live (before: {released(life.merge)})" in ran.log
    assert "it's `odd`; $(id)" in json.dumps(second.api.kept.deployments[-1]) + ran.summary.replace("\\", "")
    assert "uid=" not in ran.log


def a_schedule_looks_at_what_is_live_and_says_what_it_cannot_know(second, life):
    """Promise 23: no row is newer than the release, so nothing tells how good it is: told, and no alarm."""
    ran = second.run("schedule", "monitor.yml", {"schedule": "41 * * * *"})
    assert ran.jobs == {"monitor"}
    assert (ran.code, ran.red) == (0, []), ran
    assert "mlops monitor: insufficient" in ran.summary
    assert not second.api.kept.dispatches


def a_dispatch_trains_anew_and_proposes_what_passes_as_a_pull_request(second, life):
    """Promise 23: production was rolled back, so what the merge brought is a change of it again."""
    wish = {"model": "tumours", "environment": "staging", "because": "`id`; the answers moved"}
    ran = second.run("repository_dispatch", "retrain.yml", {"action": "retrain", "client_payload": wish})
    assert (ran.code, ran.red) == (0, []), ran
    (pull,) = second.api.kept.pulls
    assert pull["title"] == f"Retrain tumours: {released(life.merge)}"
    assert "the answers moved" in pull["body"]
    assert "uid=" not in ran.log


def a_dispatch_for_a_model_that_is_none_is_refused(second, life):
    """Promises 22 and 23."""
    wish = {"model": "--anyway", "environment": "staging", "because": "x"}
    ran = second.run("repository_dispatch", "retrain.yml", {"action": "retrain", "client_payload": wish})
    assert ran.code == 1
    assert ran.red[0].startswith("retrain: mlops retrain")
    assert "--anyway" in ran.summary


CLAIMS = (
    the_first_push_runs_every_step_and_is_live_in_both_environments,
    a_pull_request_is_judged_against_what_is_live_and_deploys_nothing,
    a_pull_request_gets_one_comment_with_its_verdict_and_a_status_for_each_gate,
    a_merge_computes_nothing_again_and_deploys_what_was_tested,
    the_summary_says_what_it_costs_that_state_travels_and_how_to_leave_it,
    what_is_merged_is_signed_before_staging_which_demands_it,
    github_is_told_what_is_live_where,
    each_model_that_was_packaged_has_its_bill_of_materials,
    a_pull_request_that_affects_nothing_is_a_quick_green_with_that_sentence,
    a_fork_s_pull_request_is_judged_and_writes_nothing,
    the_button_rolls_production_back_to_what_was_live_before,
    a_schedule_looks_at_what_is_live_and_says_what_it_cannot_know,
    a_dispatch_trains_anew_and_proposes_what_passes_as_a_pull_request,
    a_dispatch_for_a_model_that_is_none_is_refused,
)


def test_a_repository_lives_from_pull_request_to_merge_to_rollback(second, subtests):
    """Promises 21 and 23, in runs."""
    life = lived(second)
    for claim in CLAIMS:
        with subtests.test(claim.__name__.replace("_", " ")):
            claim(second, life)

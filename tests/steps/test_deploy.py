from __future__ import annotations

import os
import re
from dataclasses import replace

import msgspec
import pytest
from click.testing import CliRunner

from mlops.cli.deploy import command
from mlops.cli.status import command as status_command
from mlops.cli.trials import _failure
from mlops.errors import DeploymentFailed, NothingToDo, UsageError
from mlops.gates.canary import Seen, judged
from mlops.judging import Plan
from mlops.serving.pointer import Ack, Pointer, Tried, being_a_worker, read_pointer, write_ack, write_pointer
from mlops.steps.deploy import deploy, preview, resume, try_out
from mlops.targets import chosen, trying
from mlops.targets.local import LocalTarget
from mlops.targets.orders import deployment
from mlops.targets.trying import Journal
from mlops.verdict import Record, Verdict
from tests.serving.releases import contract, make_project, make_release


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


@pytest.fixture
def name(project):
    return make_release(project.releases, contract(computed=False, stored=False))


def test_the_facts_say_what_went_live_by_whom_and_why(project, name):
    record = deploy(project, environment="staging", release=name, reason="the first")
    assert record.step == "deploy"
    facts = record.facts
    assert (facts["release"], facts["previous"], facts["changed"], facts["reason"]) == (name, None, True, "the first")
    assert "@" in facts["who"]


def test_the_beginning_of_a_release_s_name_is_enough(project, name):
    assert deploy(project, environment="staging", release=name[:12]).facts["release"] == name


def test_an_unknown_environment_or_release_is_named_with_the_nearest(project, name):
    with pytest.raises(UsageError) as caught:
        deploy(project, environment="stagin", release=name)
    assert "'staging'" in caught.value.next_step
    with pytest.raises(UsageError, match="there is no release 'fraud_v9'"):
        deploy(project, environment="staging", release="fraud_v9")


def test_a_half_release_is_refused(project, name):
    """Promise 10."""
    (project.releases / name / "bento" / "src" / "release" / "golden.json").unlink()
    with pytest.raises(DeploymentFailed) as caught:
        deploy(project, environment="staging", release=name)
    assert caught.value.exit_code == 5
    assert not (project.environments / "staging" / "fraud" / "pointer.json").exists()


def test_a_canary_needs_a_live_release_and_a_server_to_be_compared_with(project, name):
    with pytest.raises(NothingToDo, match="nothing is live"):
        try_out(project, environment="staging", release=name, plan=Plan())
    deploy(project, environment="staging", release=name)
    other = make_release(project.releases, contract("fraud_v2", computed=False, stored=False))
    with pytest.raises(NothingToDo, match="no server runs in staging"):
        try_out(project, environment="staging", release=other, plan=Plan())
    assert deploy(project, environment="staging", release=other).facts["release"] == other


def test_a_canary_of_what_is_live_changes_nothing(project, name):
    deploy(project, environment="staging", release=name)
    assert not try_out(project, environment="staging", release=name, plan=Plan()).facts["changed"]


def test_there_is_nothing_to_resume_without_a_canary(project, name):
    deploy(project, environment="staging", release=name)
    with pytest.raises(NothingToDo, match="nothing is on trial"):
        resume(project, environment="staging")


def test_an_end_that_was_decided_is_finished_by_the_next_who_comes(project, name):
    """Promise 12: killed after the decision, before the history had it."""
    deploy(project, environment="staging", release=name)
    folder = project.environments / "staging" / "fraud"
    tried = journal(name, "fraud_v2-1")
    decided = trying.event_of(tried, "rolled back: errors", ("canary.errors fail",))
    trying.keep(folder, msgspec.structs.replace(tried, decided=decided))
    deploy(project, environment="staging", release=name)
    assert trying.read_journal(folder, "canary") is None
    from mlops.targets import history

    last = history.read(folder)[-1]
    assert (last.to, last.outcome, last.evidence) == ("fraud_v2-1", "rolled back: errors", ("canary.errors fail",))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--canary", "60%"], "at most 50 %"),
        (["--canary", "0"], "more than 0"),
        (["--canary", "ten"], "not a share"),
        (["--canary", "10%", "--for", "soon"], "not a duration"),
        (["--canary", "10%", "--requests", "20"], "20 requests cannot tell"),
        (["--canary", "10%", "--shadow"], "answers none"),
        (["--for", "10m"], "--canary 10%"),
        (["--resume", "--canary", "10%"], "no --canary"),
        (["--resume", "--dry-run"], "no --dry-run"),
        (["--resume", "--for", "1h", "--requests", "900"], "no --requests"),
    ],
)
def test_options_that_make_no_sense_are_refused(project, name, options, says):
    arguments = ["staging", *([] if "--resume" in options else [name]), *options, "--project", str(project.root)]
    result = CliRunner().invoke(command, arguments)
    told = result.output + str(result.exception)
    assert says in told
    assert result.exit_code == 2 or isinstance(result.exception, UsageError)


@pytest.fixture
def other(project):
    return make_release(project.releases, contract("fraud_v2", computed=False, stored=False))


@pytest.fixture
def worker(project, name):
    """What a server leaves beside the pointer as long as one worker of it lives."""
    deploy(project, environment="staging", release=name)
    folder = project.environments / "staging" / "fraud"
    with being_a_worker(folder):
        write_ack(folder, Ack(pid=os.getpid(), generation=1, serving=name, ok=True))
        yield folder


def journal(live, release):
    return Journal(
        kind="canary", trial="t", environment="staging", family="fraud", release=release, live=live, share=0.1,
        seconds=9, requests=None, since="2026-11-21T10:00:00+00:00", who="me", reason="",
    )  # fmt: skip


def test_the_preview_of_a_trial_says_whom_it_would_ask_and_touches_nothing(project, name, other, worker):
    before = (worker / "pointer.json").read_bytes()
    asked = CliRunner().invoke(
        command, ["staging", other, "--canary", "10%", "--for", "1m", "--dry-run", "--project", str(project.root)]
    )
    assert asked.output == f"{other} would answer 10% of the entities beside {name} for 60 seconds, in staging\n"
    shadow = preview(project, environment="staging", release=other, plan=Plan(kind="shadow", seconds=5))
    assert f"{other} would be asked what {name} is asked, and answer nobody" in shadow
    assert "live in staging already" in preview(project, environment="staging", release=name, plan=Plan())
    assert (worker / "pointer.json").read_bytes() == before
    assert not (worker / "canary.json").exists()


def test_a_canary_that_a_rollback_ended_while_its_promotion_waited_does_not_go_live(
    project, name, other, worker, monkeypatch
):
    target = chosen.local(project, "staging")
    tried = journal(name, other)
    trying.keep(worker, tried)
    write_pointer(worker, Pointer(live=name, generation=2, canary=Tried(release=other, trial="t", share=0.1)))
    monkeypatch.setattr(trying, "_FOLLOW_SECONDS", 0.0)
    move = LocalTarget.move

    def waiting(self, order, **given):
        with monkeypatch.context() as patched:
            patched.setattr(LocalTarget, "move", move)
            trying.halt(target, "fraud", "me")
        return move(replace(self, rehearses=False, patience=0.1), order, **given)

    monkeypatch.setattr(LocalTarget, "move", waiting)
    assert trying.promote(target, tried, deployment(project, other, ""), ()) is None
    assert target.standing("fraud").live == name
    assert [(one.action, one.to) for one in target.history("fraud")][1:] == [("canary", other)]


def test_a_release_is_rehearsed_with_the_features_that_it_reads(project, name, other, worker, monkeypatch):
    """Where they are may be known only once they are published: with Feast, the file that says so is written then."""
    done = []

    def rehearse(*_):
        done.append("rehearsed")
        raise DeploymentFailed("enough", next_step="")

    monkeypatch.setattr(LocalTarget, "rehearse", rehearse)
    begun = trying.begin(chosen.local(project, "staging"), journal(name, other), lambda *_: done.append("published"))
    assert (begun, done) == ("enough", ["published", "rehearsed"])


def test_a_trial_is_not_begun_beside_another_release_than_was_meant(project, name, other, worker):
    with pytest.raises(DeploymentFailed, match=f"somebody brought {name} live meanwhile"):
        trying.begin(chosen.local(project, "staging"), journal("fraud_v0-1", other), None)
    assert not read_pointer(worker).tries


def test_what_is_elsewhere_is_told_without_a_server_of_ours(project, name):
    with (project.root / "pyproject.toml").open("a") as file:
        file.write(
            '\n[tool.mlops.environments.edge]\ntarget = "command"\ndirty = "allow"\n'
            '[tool.mlops.environments.edge.command]\ndeploy = ["true"]\nprobe = ["true"]\nrollback = ["true"]\n'
        )
    done = CliRunner().invoke(command, ["edge", name, "--project", str(project.root)])
    assert re.fullmatch(rf"edge: {name} is live \(before: nothing\) in [0-9.]+ s\n", done.stdout), done.output
    shown = CliRunner().invoke(status_command, ["edge", "--project", str(project.root)])
    assert "  server    ready\n" in shown.output
    refused = CliRunner().invoke(command, ["edge", name, "--canary", "10%", "--project", str(project.root)])
    assert isinstance(refused.exception, UsageError)


@pytest.mark.parametrize(("outcome", "code"), [("rolled back", 5), ("ended", 5), ("held", 7), ("promoted", None)])
def test_how_a_canary_ended_is_an_exit_code(outcome, code):
    facts = {"outcome": outcome, "tried": "v2", "release": "v1", "environment": "staging"}
    findings = judged(Seen(), subject="v2") if outcome == "held" else ()
    failure = _failure(Record(step="deploy", subject="staging", facts=facts, verdict=_verdict(findings)))
    assert (failure.exit_code if failure else None) == code


def _verdict(findings):
    return Verdict(gate="deploy", subject="v2", findings=findings) if findings else None


@pytest.fixture
def two(project, name):
    """What is live in staging, of two families."""
    other = make_release(project.releases, contract("churn_v1", computed=False, stored=False))
    for one in (name, other):
        deploy(project, environment="staging", release=one)
    return other, name


def moved_by(project, *options):
    return CliRunner().invoke(command, ["production", *options, "--allow-dirty", "--project", str(project.root)])


def test_of_several_families_one_is_named_or_all_are_taken(project, two):
    refused = moved_by(project)
    assert isinstance(refused.exception, UsageError)
    assert "--all" in refused.exception.next_step
    done = moved_by(project, "--all")
    assert done.exit_code == 0, done.output
    target = chosen.target(project, "production")
    assert [target.standing(family).live for family in ("churn", "fraud")] == list(two)


def test_of_all_families_one_that_is_refused_keeps_no_other_back(project, two):
    damaged, whole = two
    (project.releases / damaged / "bento" / "src" / "release" / "golden.json").unlink()
    done = moved_by(project, "--all")
    assert isinstance(done.exception, DeploymentFailed)
    assert damaged in done.exception.message
    target = chosen.target(project, "production")
    assert target.standing("fraud").live == whole
    assert target.standing("churn").live is None


def test_every_refusal_among_all_families_is_told(project, two):
    for one in two:
        (project.releases / one / "bento" / "src" / "release" / "golden.json").unlink()
    done = moved_by(project, "--all")
    assert isinstance(done.exception, DeploymentFailed)
    assert two[0] in done.exception.message
    assert two[1] in done.output


@pytest.mark.parametrize("option", [["fraud_v1"], ["--model", "fraud"], ["--resume"], ["--json"]])
def test_all_families_are_asked_for_alone(project, two, option):
    refused = moved_by(project, *option, "--all")
    assert isinstance(refused.exception, UsageError)
    assert refused.exception.next_step
    assert not (project.environments / "production").exists()

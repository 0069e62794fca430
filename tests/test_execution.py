"""Tasks run in the order of their needs, once, and a "no" stops building but not judging."""

from __future__ import annotations

import errno
import os
import shutil
import threading

import pytest

from mlops.adapters.index import Index
from mlops.adapters.objects import ObjectStore
from mlops.errors import GateFailed, OutsideError
from mlops.execution import Executor, Task
from mlops.verdict import Finding, Outcome, Record, Verdict


class Watch:
    def __init__(self):
        self.computed, self.recorded, self.warmed = [], [], 0

    def started(self, name):
        self.computed.append(name)

    def progress(self, name, text): ...

    def finished(self, record): ...

    def warm(self):
        self.warmed += 1

    def record(self, record):
        self.recorded.append(record.name)


@pytest.fixture
def run(tmp_path):
    index, objects = Index(tmp_path / "index.db"), ObjectStore(tmp_path / "store")

    def go(*tasks):
        watch = Watch()
        return Executor(index, objects, watch, watch).run(tasks), watch

    go.objects = objects
    yield go
    index.close()


def judged(step, outcome):
    finding = Finding(check="c", outcome=outcome, message="said so")
    return Record(step=step, subject="", verdict=Verdict(gate=step, subject="", findings=(finding,)))


def task(step, *needs, outcome=None, judging=False, version=1, action=None, **more):
    def go(done):
        assert set(done) == set(needs)
        if action is not None:
            action()
        return Record(step=step, subject="") if outcome is None else judged(step, outcome)

    def ingredients(done):
        return {"version": version, "needs": {n: r.key for n, r in done.items()}}

    return Task(step=step, subject="", run=go, needs=needs, judging=judging, ingredients=ingredients, **more)


def test_a_task_waits_for_what_it_needs_and_is_given_it(run):
    ended, watch = run(task("last", "middle"), task("middle", "first"), task("first"))
    assert [r.step for r in ended.records] == ["first", "middle", "last"]
    assert watch.recorded == ["first", "middle", "last"]


def test_tasks_that_do_not_need_each_other_run_side_by_side(run):
    both = threading.Barrier(2, timeout=10)
    ended, _ = run(task("one", action=both.wait), task("other", action=both.wait))
    assert not ended.errors, "each waited for the other to have started"


def test_what_was_computed_before_is_reused_and_nothing_is_opened(run):
    run(task("first"), task("second", "first"))
    ended, watch = run(task("first"), task("second", "first"))
    assert [r.reused for r in ended.records] == [True, True]
    assert watch.computed == []
    assert watch.warmed == 0, "a ledger is not opened to say that nothing was done"


def test_a_change_recomputes_what_depends_on_it_and_nothing_else(run):
    run(task("a"), task("b"), task("c", "a"))
    _, watch = run(task("a", version=2), task("b"), task("c", "a"))
    assert watch.computed == ["a", "c"]


def test_a_record_whose_output_is_gone_is_computed_again(run):
    digest = run.objects.put(b"a table")
    made = Task(
        step="a",
        subject="",
        run=lambda _: Record(step="a", subject="", outputs={"data": digest}),
        ingredients=lambda _: {},
    )
    run(made)
    run.objects.path(digest).unlink()
    _, watch = run(made)
    assert watch.computed == ["a"]


def test_a_record_of_something_outside_the_store_is_asked_whether_it_is_still_there(run):
    there = [True]
    made = task("register", still=lambda _: there[0])
    run(made)
    assert run(made)[1].computed == []
    there[0] = False
    assert run(made)[1].computed == ["register"]


def test_after_a_no_judging_goes_on_and_building_does_not_start(run):
    ended, watch = run(
        task("gate", outcome=Outcome.FAIL, judging=True),
        task("other-gate", "gate", outcome=Outcome.PASS, judging=True),
        task("build", "gate"),
    )
    assert watch.computed == ["gate", "other-gate"]
    assert ended.skipped == ("build",)


def test_what_a_refused_building_step_gave_is_given_to_nobody(run):
    ended, _ = run(task("train", outcome=Outcome.FAIL), task("check-model", "train", judging=True))
    assert ended.skipped == ("check-model",)


def test_a_no_is_judged_anew_and_never_reused(run):
    refused = task("gate", outcome=Outcome.FAIL, judging=True)
    run(refused)
    assert run(refused)[1].computed == ["gate"]


def test_an_error_is_kept_and_what_needs_it_does_not_start(run):
    def fail():
        raise GateFailed("no rows", next_step="add some")

    ended, watch = run(task("a", action=fail), task("b", "a", judging=True), task("c", judging=True))
    assert [str(e) for e in ended.errors] == ["no rows\n  next: add some"]
    assert set(ended.skipped) == {"a", "b"}
    assert "c" in watch.computed


def test_what_writes_its_own_events_opens_no_ledger(run):
    _, watch = run(task("deploy", recorded=False))
    assert watch.computed == ["deploy"]
    assert watch.warmed == 0
    assert watch.recorded == []


def test_a_bug_is_raised_and_not_hidden_in_a_report(run):
    with pytest.raises(ZeroDivisionError):
        run(task("a", action=lambda: 1 / 0))


def test_a_step_whose_meaning_changed_is_computed_again(run):
    def made(version):
        return Task(
            step="a", subject="", version=version, run=lambda _: Record(step="a", subject=""), ingredients=lambda _: {}
        )

    run(made(1))
    assert run(made(1))[1].computed == []
    assert run(made(2))[1].computed == ["a"]


@pytest.mark.parametrize("code", [0, None, "done"])
def test_users_code_that_exits_fails_the_task_and_not_the_process(run, code):
    """`sys.exit(0)` in a feature function would end the command as if all were well."""

    def leave():
        raise SystemExit(code)

    ended, _ = run(task("a", action=leave), task("b", "a"))
    assert "sys.exit" in ended.errors[0].message
    assert set(ended.skipped) == {"a", "b"}


def test_what_was_overridden_is_done_and_never_used_again(run):
    overridden = task("gate", outcome=Outcome.OVERRIDDEN, judging=True)
    first, _ = run(overridden, task("build", "gate"))
    assert [r.step for r in first.records] == ["gate", "build"]
    again, watch = run(overridden, task("build", "gate"))
    assert watch.computed == ["gate"]
    assert [r.reused for r in again.records] == [False, True]


def test_a_no_is_told_even_where_it_cannot_be_recorded(run, monkeypatch):
    def down(self, record):
        raise OutsideError("the ledger is down", next_step="start it")

    monkeypatch.setattr(Watch, "record", down)
    refused, _ = run(task("gate", outcome=Outcome.FAIL, judging=True))
    assert [r.step for r in refused.records] == ["gate"]
    passed, _ = run(task("other", outcome=Outcome.PASS, judging=True))
    assert [error.message for error in passed.errors] == ["the ledger is down"]


def test_a_verdict_is_settled_anew_each_time_it_is_used(tmp_path):
    """A setting that became stricter is heeded by what was computed under the looser one."""
    index, objects, watch = Index(tmp_path / "index.db"), ObjectStore(tmp_path / "store"), Watch()
    gate = task("gate", outcome=Outcome.PASS, judging=True)

    def stricter(record):
        return judged("gate", Outcome.FAIL)

    Executor(index, objects, watch, watch).run([gate])
    ended = Executor(index, objects, watch, watch, settle=stricter).run([gate])
    assert [r.verdict.outcome for r in ended.records] == [Outcome.FAIL]
    assert watch.computed == ["gate", "gate"]
    index.close()


def test_a_step_that_finds_the_disk_full_in_whatever_library_says_so_and_names_the_file(run):
    """Promise 14."""

    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/there/model")

    def copied():
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")])

    for action, said in ((full, "/there/model"), (copied, "what it writes")):
        ended, _ = run(task("package", action=action))
        (error,) = ended.errors
        assert isinstance(error, OutsideError)
        assert said in error.message
    with pytest.raises(OSError, match="another"):
        run(task("package", action=lambda: (_ for _ in ()).throw(OSError("another"))))

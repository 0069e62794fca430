"""What git knows of a project, with real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlops.adapters import git
from mlops.errors import UsageError


def run(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    run(folder, "init", "-q", "-b", "main")
    run(folder, "config", "user.name", "Ada Lovelace")
    run(folder, "config", "user.email", "ada@example.org")
    (folder / "a.py").write_text("one\n")
    (folder / ".gitignore").write_text(".mlops/\n")
    run(folder, "add", ".")
    run(folder, "commit", "-qm", "first")
    return folder


def test_a_clean_repository_has_a_commit_and_a_branch(repository):
    state = git.state(repository)
    assert state == git.State(commit=run(repository, "rev-parse", "HEAD"), branch="main", dirty=False, shallow=False)
    assert state.known
    assert git.who(repository) == "Ada Lovelace"


@pytest.mark.parametrize("name", ["a.py", "new.py"])
def test_an_edit_and_a_new_file_make_it_dirty_and_ignored_files_do_not(repository, name):
    (repository / ".mlops").mkdir()
    (repository / ".mlops/x").write_text("x")
    assert not git.state(repository).dirty
    (repository / name).write_text("two\n")
    assert git.state(repository).dirty


def test_a_detached_head_has_no_branch(repository):
    run(repository, "checkout", "-q", "--detach")
    assert git.state(repository).branch == ""


def test_no_repository_and_no_commit_are_uncommitted_and_dirty(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git.state(tmp_path) == git.State(commit="uncommitted", branch="", dirty=True, shallow=False)
    run(tmp_path, "init", "-q", "-b", "main")
    state = git.state(tmp_path)
    assert (state.commit, state.branch, state.known) == ("uncommitted", "main", False)


def test_no_git_at_all_is_tolerated(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "somebody")
    assert git.state(tmp_path).commit == "uncommitted"
    assert git.who(tmp_path) == "somebody"


def test_a_change_is_what_the_branch_did_since_it_left(repository):
    run(repository, "checkout", "-qb", "topic")
    (repository / "b c.py").write_text("b\n")
    run(repository, "add", ".")
    run(repository, "commit", "-qm", "b")
    (repository / "a.py").write_text("unsaved\n")
    (repository / "ü.py").write_text("new\n")
    run(repository, "branch", "-f", "other", "main")
    assert git.changed_files(repository, "main") == ("a.py", "b c.py", "ü.py")


def test_a_moved_file_counts_under_both_names(repository):
    run(repository, "mv", "a.py", "z.py")
    assert git.changed_files(repository, "HEAD") == ("a.py", "z.py")


def test_an_unknown_base_and_an_option_are_refused(repository):
    with pytest.raises(UsageError, match="git does not know it"):
        git.changed_files(repository, "nosuch")
    with pytest.raises(UsageError):
        git.changed_files(repository, "--output=/tmp/x")


def test_a_shallow_clone_says_so_and_how_to_deepen_it(repository, tmp_path):
    first = run(repository, "rev-parse", "HEAD")
    run(repository, "commit", "-qm", "second", "--allow-empty")
    run(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "shallow")
    assert git.state(tmp_path / "shallow").shallow
    with pytest.raises(UsageError, match="shallow") as caught:
        git.changed_files(tmp_path / "shallow", first)
    assert "fetch-depth: 0" in caught.value.next_step

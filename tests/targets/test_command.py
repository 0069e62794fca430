from __future__ import annotations

import json
import shutil
import sys
import time

import pytest

from mlops.config import Command
from mlops.errors import ConfigError, DeploymentFailed, RollbackFailed
from mlops.pyproject import load
from mlops.targets.command import CommandTarget
from mlops.targets.outside import MOVING
from mlops.workspace import open_workspace
from tests.targets.conformance import Conformance, Place, killed_at, order, three_releases

SCRIPT = """
import json, os, sys, time
from pathlib import Path

root = Path(__file__).parent
verb, named = sys.argv[1], sys.argv[2]
assert named == os.environ["MLOPS_RELEASE"], "the word and the variable name one release"
assert (Path(os.environ["MLOPS_FOLDER"]) / "manifest.json").is_file()
spoilt = json.loads((root / "spoilt.json").read_text())
live = root / "live"
with (root / "calls").open("a") as calls:
    calls.write(f"{verb} {named}\\n")
if verb == "probe":
    answers = live.exists() and live.read_text() == named and named not in spoilt
    print("it answers" if answers else "nobody answers")
    sys.exit(0 if answers else 1)
print(f"{verb} of {named} in {os.environ['MLOPS_ENVIRONMENT']}, after {os.environ['MLOPS_LIVE'] or 'nothing'}")
if verb in spoilt.get("codes", {}):
    sys.exit(spoilt["codes"][verb])
if spoilt.get("hangs") == verb:
    time.sleep(60)
live.write_text(named)
"""


class Elsewhere(Place):
    """A place that is a file: what it holds answers."""

    @property
    def root(self):
        return self.target.root

    def answering(self):
        file = self.root / "live"
        return file.read_text() if file.exists() else ""

    def spoil(self, release="", **how):
        (self.root / "spoilt.json").write_text(json.dumps({release: True, **how}))

    def calls(self):
        file = self.root / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def killed_while_moving(self, wanted):
        killed_at(CommandTarget, "_await", lambda: self.target.move(wanted))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    releases = tmp_path_factory.mktemp("made")
    return releases, three_releases(releases)


@pytest.fixture
def place(originals, tmp_path):
    releases = shutil.copytree(originals[0], tmp_path / "releases")
    script = tmp_path / "ops.py"
    script.write_text(SCRIPT)
    words = {verb: (sys.executable, str(script), verb, "{release}") for verb in ("deploy", "probe", "rollback")}
    target = CommandTarget(
        tmp_path / "environments" / "edge",
        releases,
        settings=Command(**words, seconds=20, ready_seconds=0.5),
        root=tmp_path,
    )
    made = Elsewhere(target, releases, originals[1])
    made.spoil()
    return made


class TestCommand(Conformance):
    """The commands' own place."""


def test_the_output_of_a_command_is_shown(place, capfd):
    place.target.move(order(place.names[0]))
    shown = capfd.readouterr()
    assert f"deploy of {place.names[0]} in edge, after nothing" in shown.err
    assert shown.out == ""


def test_a_rollback_runs_the_rollback_command_and_then_the_probe(place):
    place.target.move(order(place.names[0]))
    place.target.move(order(place.names[1]))
    del place.calls()[:]
    place.target.move(order(place.names[0], "rollback"))
    assert place.calls()[-2:] == [f"rollback {place.names[0]}", f"probe {place.names[0]}"]


def test_code_5_means_that_the_old_release_serves_and_nothing_is_put_back(place):
    place.target.move(order(place.names[0]))
    place.spoil(codes={"deploy": 5})
    with pytest.raises(DeploymentFailed, match=f"ended with code 5.*{place.names[0]} is live"):
        place.target.move(order(place.names[1]))
    assert not any(call.startswith("rollback") for call in place.calls())


def test_code_6_means_that_a_person_is_needed_and_nothing_more_is_tried(place):
    place.target.move(order(place.names[0]))
    place.spoil(codes={"deploy": 6})
    with pytest.raises(RollbackFailed, match="a person is needed"):
        place.target.move(order(place.names[1]))
    assert not any(call.startswith("rollback") for call in place.calls())
    assert "interrupted" in next(iter(place.target.health("fraud").troubles.values()))


def test_where_the_way_back_fails_too_a_person_is_needed_and_the_next_order_settles_it(place):
    place.target.move(order(place.names[0]))
    place.spoil(codes={"deploy": 1, "rollback": 1})
    with pytest.raises(RollbackFailed, match="could not be put back") as caught:
        place.target.move(order(place.names[1]))
    assert caught.value.exit_code == 6
    assert (place.target.folder / "fraud" / MOVING).exists()
    place.spoil()
    assert place.target.move(order(place.names[0])).changed
    assert place.answering() == place.names[0]
    assert not (place.target.folder / "fraud" / MOVING).exists()


def test_a_command_that_does_not_end_is_ended_with_its_children(place):
    place.target.move(order(place.names[0]))
    place.spoil(hangs="deploy")
    place.target = CommandTarget(
        place.target.folder,
        place.releases,
        settings=Command(
            deploy=("/bin/sh", "-c", "sleep 61 & echo begun; sleep 62"),
            probe=place.target.settings.probe,
            rollback=place.target.settings.rollback,
            seconds=0.5,
            ready_seconds=2,
        ),
        root=place.root,
    )
    started = time.monotonic()
    with pytest.raises(DeploymentFailed, match=r"did not end within 0.5 seconds, and said last: begun"):
        place.target.move(order(place.names[1]))
    assert time.monotonic() - started < 10
    assert place.answering() == place.names[0]


def test_a_command_that_is_not_there_is_named(place):
    gone = Command(deploy=("./nowhere.sh",), probe=("true",), rollback=("true",))
    target = CommandTarget(place.target.folder, place.releases, settings=gone, root=place.root)
    with pytest.raises(DeploymentFailed, match=r"\./nowhere.sh cannot be run: No such file"):
        target.move(order(place.names[0]))


def test_no_shell_reads_a_word(place):
    planted = place.root / "planted"
    words = ("echo", f"$(touch {planted})", f"; touch {planted}", "{release}")
    settings = Command(deploy=words, probe=("true",), rollback=("true",))
    target = CommandTarget(place.target.folder, place.releases, settings=settings, root=place.root)
    target.move(order(place.names[0]))
    assert not planted.exists()


def test_the_settings_of_a_command_are_demanded_with_the_line_to_write(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops.environments.edge]\ntarget = "command"\n'
        '[tool.mlops.environments.edge.command]\ndeploy = ["a"]\nrollback = ["b"]\n'
    )
    with pytest.raises(ConfigError, match=r"pyproject.toml:3: .*'edge'.*needs probe") as caught:
        load(tmp_path)
    assert 'probe = ["./ops/probe.sh"]' in caught.value.next_step


def test_the_configuration_chooses_it(tmp_path):
    from mlops.targets import chosen

    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops.environments.edge]\ntarget = "command"\n'
        '[tool.mlops.environments.edge.command]\ndeploy = ["a"]\nprobe = ["c"]\nrollback = ["b"]\nseconds = 3\n'
    )
    target = chosen.target(open_workspace(tmp_path), "edge")
    assert isinstance(target, CommandTarget)
    assert (target.settings.probe, target.settings.seconds, target.root) == (("c",), 3, tmp_path)

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlops.targets.systemd import Unit, unit_file

ANALYZE = shutil.which("systemd-analyze")


def unit(root=Path("/srv/models"), **given):
    command = [sys.executable, "-m", "mlops", "serve", "production", "--project", str(root)]
    everything = {"description": "production of shop", "command": command, "root": root, "state": root / ".mlops"}
    return unit_file(Unit(user="root", **{**everything, **given}))


def test_the_unit_starts_the_server_and_lets_it_write_its_state_alone():
    lines = unit().splitlines()
    assert f"ExecStart={sys.executable} -m mlops serve production --project /srv/models" in lines
    assert {"Restart=always", "ProtectSystem=strict", "ReadWritePaths=/srv/models/.mlops"} <= set(lines)
    assert not any(line.startswith("EnvironmentFile") for line in lines)


def test_a_token_comes_from_a_file_and_never_stands_in_the_unit():
    assert "EnvironmentFile=/srv/models/.mlops/environments/production/service.env" in unit(
        secrets=Path("/srv/models/.mlops/environments/production/service.env")
    )


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not here")
@pytest.mark.parametrize("name", ["models", "with space", 'with "quotes"', "100%", "with $HOME"])
def test_systemd_takes_the_unit_without_a_word(tmp_path, name):
    root = tmp_path / name
    (root / ".mlops").mkdir(parents=True)
    file = tmp_path / "mlops-production.service"
    file.write_text(unit(root, secrets=root / "service.env"))
    done = subprocess.run([ANALYZE, "verify", str(file)], capture_output=True, text=True, check=False)
    about_ours = [line for line in done.stderr.splitlines() if "mlops-production" in line]
    assert about_ours == []
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not here")
def test_systemd_would_name_a_mistake(tmp_path):
    file = tmp_path / "mlops-production.service"
    file.write_text(unit(tmp_path).replace("Type=exec", "Typo=exec"))
    done = subprocess.run([ANALYZE, "verify", str(file)], capture_output=True, text=True, check=False)
    assert "Typo" in done.stderr

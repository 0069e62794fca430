"""`mlops completion`: a script for each shell."""

from __future__ import annotations

import pytest

from mlops.cli import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script_that_completes_mlops(shell, capsys):
    with pytest.raises(SystemExit) as end:
        main(["completion", shell])
    assert end.value.code == 0
    assert "_MLOPS_COMPLETE" in capsys.readouterr().out

"""Files are whole or not there, also when the writer is killed or the disk is full."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from mlops.adapters.files import appearing, digest_file, tree, write_atomically
from mlops.errors import OutsideError

WRITER = """
import sys
from pathlib import Path
from mlops.adapters.files import write_atomically
print("ready", flush=True)
for n in range(10**9):
    write_atomically(Path(sys.argv[1]), (chr(97 + n % 26) * 60_000).encode())
"""


def test_a_writer_that_is_killed_never_leaves_a_torn_file(tmp_path):
    """PROMISES 13, a part: forty SIGKILLs at random moments."""
    file = tmp_path / "pointer"
    moments = random.Random(7)
    for _ in range(40):
        writer = subprocess.Popen(
            [sys.executable, "-S", "-c", f"import sys; sys.path[:0]={sys.path!r}\n{WRITER}", str(file)],
            stdout=subprocess.PIPE,
        )
        writer.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.02))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        if file.exists():
            content = file.read_bytes()
            assert len(content) == 60_000
            assert len(set(content)) == 1


def test_a_full_disk_is_an_outside_error_that_names_the_path_and_leaves_nothing(tmp_path):
    """PROMISES 14."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("this user may not mount a small file system")
    try:
        with pytest.raises(OutsideError, match="no space left for") as caught:
            write_atomically(small / "model", b"x" * 200_000)
        assert caught.value.exit_code == 4
        with pytest.raises(OutsideError), appearing(small / "release") as folder:
            (folder / "big").write_bytes(b"x" * 200_000)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), appearing(tmp_path / "release") as folder:  # noqa: PT012 - the block is the subject
        (folder / "half").write_text("half")
        (folder / "never").write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []
    with appearing(tmp_path / "release") as folder:
        (folder / "whole").write_text("whole")
    assert tree(tmp_path / "release") == {"whole": digest_file(tmp_path / "release" / "whole")}


def test_a_link_in_a_folder_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OutsideError, match="symbolic link"):
        tree(tmp_path)

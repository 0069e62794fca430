from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops.adapters import bentoserver
from mlops.errors import OutsideError

STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(p.pid, flush=True); time.sleep(60)"
)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_free_port_is_free_and_a_taken_one_is_named():
    with bentoserver.listening("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutsideError, match=str(taken.getsockname()[1])):
            bentoserver.listening("127.0.0.1", taken.getsockname()[1])


def test_a_free_port_is_none_that_the_system_gives_to_a_connection():
    """A server opens it a moment later, and in between others connect to whom they like."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if last - first > 60_000:
        pytest.skip("the system gives nearly all ports")
    found = {bentoserver.free_port() for _ in range(50)}
    assert not any(first <= port <= last for port in found)
    assert len(found) > 45, "two who ask at once must hardly get the same"


def test_a_server_that_does_not_heed_is_killed_with_its_workers():
    server = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    worker = int(server.stdout.readline())
    bentoserver.stop(server, grace=0.2)
    server.stdout.close()
    assert server.returncode == -9
    deadline = time.monotonic() + 5
    while alive(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_ends_is_not_waited_for(tmp_path):
    server = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    serving = bentoserver.Serving(target="x", port=bentoserver.free_port(), home=tmp_path)
    with pytest.raises(bentoserver.NotReady, match="code 3"):
        bentoserver.wait_ready(server, serving, seconds=30)


def test_what_cannot_be_served_is_told_by_its_last_lines(tmp_path):
    serving = bentoserver.Serving(target="no_such_module:Service", port=bentoserver.free_port(), home=tmp_path / "home")
    log = tmp_path / "log"
    with bentoserver.running(serving, log=log) as server, pytest.raises(bentoserver.NotReady):
        bentoserver.wait_ready(server, serving, seconds=30)
    assert "no_such_module" in bentoserver.last_lines(log)


def test_a_server_does_not_outlive_whoever_started_it(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "small.py").write_text("import bentoml\n\n@bentoml.service\nclass Small: ...\n")
    starter = (
        "import sys, time; from pathlib import Path; from mlops.adapters import bentoserver as b;"
        "s = b.Serving(target='small:Small', port=int(sys.argv[1]), home=Path(sys.argv[2]));"
        "p = b.start(s, log=Path(sys.argv[3])); b.wait_ready(p, s, seconds=60);"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    port = str(bentoserver.free_port())
    command = [sys.executable, "-c", starter, port, str(tmp_path / "home"), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        server = int(parent.stdout.readline())
        assert alive(server)
        parent.kill()
    deadline = time.monotonic() + 20
    while alive(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not bentoserver.ready("127.0.0.1", int(port))

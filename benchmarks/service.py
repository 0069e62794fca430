"""PROMISES 27: the service beside its rivals, one worker each, one row a request, all in one run and in turn.

The same boosted trees answer everywhere: as ONNX in ours, in BentoML's typed endpoint, in FastAPI and in a bare ASGI
app, as scikit-learn in `mlflow models serve`, in BentoML with pandas and in a release that stays in skops.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ratio import Ratio
from benchmarks.service_model import Model, make
from mlops.adapters import bentoserver
from mlops.statistics.blocks import paired_ratio

CONNECTIONS = (1, 8, 32)
ROUNDS, SECONDS, READY = 5, 2.0, 90.0
_HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"


@dataclass(frozen=True)
class Server:
    """How to start one, and what to ask it."""

    name: str
    command: Sequence[str]
    path: str
    body: Any
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Measured:
    """One server's numbers: by connections, a list of one entry per round."""

    cold: float = 0.0
    memory: list[float] = field(default_factory=list)  # MiB, at the start and after each round
    qps: dict[int, list[float]] = field(default_factory=dict)
    p50: dict[int, list[float]] = field(default_factory=dict)
    p99: dict[int, list[float]] = field(default_factory=dict)
    cpu: dict[int, list[float]] = field(default_factory=dict)  # ms of a core per answer


def measure() -> list[Ratio]:
    """Milliseconds per answer at 8 connections, ours and each rival's; the whole table is printed before."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        model = make(home)
        running = {}
        for server in _servers(model):
            running[server.name] = stack.enter_context(_running(server, home))
        for _ in range(ROUNDS):
            for connections in CONNECTIONS:
                for one in running.values():
                    one.load(connections)
        found = {name: one.measured for name, one in running.items()}
    _print(found)
    _print_times(found)
    return _ratios(found)


def _servers(model: Model) -> list[Server]:
    row, rows = model.row, [model.row]
    log = str(model.fast.parent / "decisions")
    python = sys.executable
    onnx = {
        "RIVAL_ONNX": str(model.onnx),
        "RIVAL_NUMBERS": json.dumps([name for name, value in row.items() if not isinstance(value, str)]),
        "RIVAL_WORDS": json.dumps([name for name, value in row.items() if isinstance(value, str)]),
    }
    uvicorn = [python, "-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--port", "{port}"]
    bento = [python, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", "{port}"]
    mlflow = [python, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-w", "1", "-p", "{port}"]
    ours = [*bento, "mlops.serving.service:Service"]
    worker = [python, "-m", "benchmarks.rivals.one_worker", "{port}"]
    return [
        Server("mlops, ONNX", ours, "/predict", row, {"MLOPS_RELEASE": str(model.fast), "MLOPS_DECISIONS": ""}),
        Server(
            "mlops, decision log", ours, "/predict", row, {"MLOPS_RELEASE": str(model.fast), "MLOPS_DECISIONS": log}
        ),
        Server("mlops serve, ONNX", worker, "/predict", row, {"MLOPS_RELEASE": str(model.fast), "MLOPS_DECISIONS": ""}),
        Server("bare ASGI, ONNX", [*uvicorn, "benchmarks.rivals.bare_asgi:app"], "/", row, onnx),
        Server("FastAPI, ONNX", [*uvicorn, "benchmarks.rivals.with_fastapi:app"], "/predict", row, onnx),
        Server("BentoML typed, ONNX", [*bento, "benchmarks.rivals.bento_typed:Typed"], "/predict", {"row": row}, onnx),
        Server("mlflow models serve", [*mlflow, "-m", str(model.mlflow)], "/invocations", {"dataframe_records": rows}),
        Server("mlops, skops", ours, "/predict", row, {"MLOPS_RELEASE": str(model.skops)}),
        Server(
            "BentoML, pandas",
            [*bento, "benchmarks.rivals.bento_pandas:WithPandas"],
            "/predict",
            {"rows": rows},
            {"RIVAL_MODEL": str(model.joblib)},
        ),
    ]


@dataclass
class _Running:
    port: int
    process: psutil.Process
    request: Path
    measured: Measured

    def load(self, connections: int) -> None:
        """One round."""
        before = self._cpu()
        command = [sys.executable, "-m", "benchmarks.hammer", "127.0.0.1", str(self.port), str(self.request)]
        done = subprocess.run([*command, str(connections), str(SECONDS)], check=True, stdout=subprocess.PIPE, text=True)
        told = json.loads(done.stdout.splitlines()[-1])
        answered = told["statuses"].get("200", 0)
        if set(told["statuses"]) - {"200"} or not answered:
            raise RuntimeError(f"{self.process.cmdline()}: {told['statuses']}")
        one = self.measured
        for kept, value in (
            (one.qps, answered / told["seconds"]),
            (one.p50, told["p50"]),
            (one.p99, told["p99"]),
            (one.cpu, 1000 * (self._cpu() - before) / answered),
        ):
            kept.setdefault(connections, []).append(value)
        one.memory.append(self.memory())

    def memory(self) -> float:
        """MiB of all its processes."""
        return sum(p.memory_info().rss for p in self._all()) / 2**20

    def _cpu(self) -> float:
        return sum(sum(p.cpu_times()[:2]) for p in self._all())

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextlib.contextmanager
def _running(server: Server, home: Path) -> Iterator[_Running]:
    port = bentoserver.free_port()
    place = home / server.name.replace(" ", "_").replace(",", "")
    place.mkdir()
    body = json.dumps(server.body).encode()
    request = place / "request"
    request.write_bytes(_HEAD.format(path=server.path, length=len(body)).encode() + body)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {**os.environ, "PATH": path, "BENTOML_HOME": str(place), "BENTOML_DO_NOT_TRACK": "True"}
    started = time.perf_counter()
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [part.format(port=port) for part in server.command],
            env={**variables, **server.variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        one = _Running(port, psutil.Process(process.pid), request, Measured())
        _wait(one, process, place / "log")
        one.measured.cold = time.perf_counter() - started
        one.measured.memory.append(one.memory())
        yield one
    finally:
        bentoserver.stop(process)


def _wait(one: _Running, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return with the first answer 200."""
    import http.client

    head, _, body = one.request.read_bytes().partition(b"\r\n\r\n")
    path = head.split()[1].decode()
    deadline = time.monotonic() + READY
    said = "nothing"
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=5)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = f"{answer.status} {answer.read()!r}"
            if answer.status == 200:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"no answer (the last was {said}):\n{bentoserver.last_lines(log, 40)}")


def _print(found: Mapping[str, Measured]) -> None:
    print("\nserver               conn      QPS   p50 ms   p99 ms   CPU ms/answer   memory MiB   cold s")
    for name, one in found.items():
        for place, connections in enumerate(CONNECTIONS):
            values = [statistics.median(kept[connections]) for kept in (one.qps, one.p50, one.p99, one.cpu)]
            line = "{:<20} {:>5} {:>8.0f} {:>8.2f} {:>8.2f} {:>15.3f}".format(name, connections, *values)
            more = f"   {one.memory[0]:4.0f} →{one.memory[-1]:4.0f}   {one.cold:6.1f}" if not place else ""
            print(line + more)
    print(flush=True)


_WANTED = (
    ("mlops, ONNX", "mlflow models serve", 8, 1 / 40),
    ("mlops, ONNX", "BentoML typed, ONNX", 8, 1 / 4),
    ("mlops, ONNX", "bare ASGI, ONNX", 8, 2.0),
    ("mlops, skops", "BentoML, pandas", 8, 1 / 3),
    ("mlops, skops", "BentoML, pandas", 1, 1.0),
)


def _print_times(found: Mapping[str, Measured]) -> None:
    """How many times as many answers, and how many times as many for the same time of a core."""
    for ours, rival, connections, _ in _WANTED:
        one, other = found[ours], found[rival]
        qps = paired_ratio(one.qps[connections], other.qps[connections])
        cpu = paired_ratio(other.cpu[connections], one.cpu[connections])
        print(
            f"{ours} / {rival}, {connections} connections: {qps.value:.3g} times the answers a second "
            f"({qps.low:.3g} to {qps.high:.3g}), {cpu.value:.3g} times as many for the same CPU"
        )
    print(flush=True)


def _ratios(found: Mapping[str, Measured]) -> list[Ratio]:
    made = [
        Ratio(
            "27",
            f"{ours} / {rival}, {connections} connections",
            # Geometric means, whose ratio is that of the rounds: neighbours in time, which share what the machine does.
            1000 / statistics.geometric_mean(found[ours].qps[connections]),
            1000 / statistics.geometric_mean(found[rival].qps[connections]),
            goal,
            unit="ms/answer",
        )
        for ours, rival, connections, goal in _WANTED
    ]
    # A few MiB settle in the first seconds; a leak would go on.
    memory = found["mlops, decision log"].memory
    middle = memory[len(memory) // 2]
    return [*made, Ratio("27", "memory after the load / in its middle", memory[-1], middle, 1.05, unit="MiB")]

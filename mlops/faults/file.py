"""Model files that want to run code, or that are not the one that was recorded."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from mlops.adapters import models
from mlops.adapters.files import digest_bytes
from mlops.errors import GateFailed
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.serving.predictors import OnnxPredictor
from mlops.verdict import Finding, Outcome

CHECK = "file.refused"


def cases(bench: Bench) -> Generator[Case]:
    """Poisoned files, each with a canary that would sing if its code ran, and the user's own file."""
    place = Path(tempfile.mkdtemp(prefix="file-", dir=bench.workspace.scratch))
    try:
        canary, honest = place / "canary", bench.model_file.read_bytes()
        for fault, data in faults(honest, canary).items():
            yield Case(fault=fault, check=CHECK, judge=partial(_judge, partial(_load, bench, place, data), canary))
        flipped = partial(models.load, _written(place, _flipped(honest)), digest=bench.digest)
        yield Case(fault="one byte changed", check=CHECK, judge=partial(_judge, flipped, canary))
        onnx = partial(OnnxPredictor, _outside(), bench.contract)
        yield Case(fault="ONNX that reads another file", check=CHECK, judge=partial(_judge, onnx, canary))
        yield sound(lambda: [_passed(lambda: _load(bench, place, honest))])
    finally:
        shutil.rmtree(place, ignore_errors=True)


def faults(honest: bytes, canary: Path) -> dict[str, bytes]:
    """By name, files that would write `canary` if anything in them were executed."""
    poison = pickle.dumps(Poison(canary))
    joblib = io.BytesIO()
    import joblib as library

    library.dump(Poison(canary), joblib, compress=("gzip", 3))
    return {
        "a pickle": poison,
        "a joblib file": joblib.getvalue(),
        "a pickle in the archive": with_member(honest, "data.pkl", poison),
        "code in the archive": with_member(honest, "code/__init__.py", b"import os"),
        "a part that is os.system": replaced_root(honest, "os", "system"),
        "a part that is subprocess.Popen": replaced_root(honest, "subprocess", "Popen"),
        "cut off": honest[: len(honest) // 2],
    }


class Poison:
    """What writes a file as soon as it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """As an attacker would."""
        return Path.write_text, (self.canary, "executed")


def with_member(archive: bytes, name: str, content: bytes) -> bytes:
    """The model file with one member more."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a", compression=zipfile.ZIP_STORED) as out:
        out.writestr(name, content)
    return buffer.getvalue()


def replaced_root(archive: bytes, module: str, name: str) -> bytes:
    """The model file whose outermost object claims to be of another type."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "schema.json":
                schema = json.loads(content)
                content = json.dumps({**schema, "__module__": module, "__class__": name}).encode()
            new.writestr(member, content)
    return buffer.getvalue()


def _outside() -> bytes:
    """An ONNX graph whose weights are said to lie in a file of the machine."""
    import onnx
    from onnx import TensorProto, helper

    weights = TensorProto(name="weights", data_type=TensorProto.DOUBLE, dims=[1])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../../../../../etc/hostname")
    number = helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, [None, 1])
    label = helper.make_tensor_value_info("label", TensorProto.DOUBLE, [None, 1])
    node = helper.make_node("Add", ["numbers", "weights"], ["label"])
    graph = helper.make_graph([node], "outside", [number], [label], initializer=[weights])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    return bytes(model.SerializeToString())


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _written(place: Path, data: bytes) -> Path:
    path = place / f"{digest_bytes(data)}.skops"
    path.write_bytes(data)
    return path


def _load(bench: Bench, place: Path, data: bytes) -> Any:
    """Load under the digest that is expected: the list of types alone has to hold."""
    return models.load(_written(place, data), digest=digest_bytes(data), trusted=bench.config.package.trusted)


def _judge(load: Callable[[], Any], canary: Path) -> list[Finding]:
    """The refusal as a finding; a pass, which is wrong here, when the file was read or its code ran."""
    try:
        load()
    except GateFailed as error:
        if not canary.exists():
            found = Finding(check=CHECK, outcome=Outcome.FAIL, message=error.message, next_step=error.next_step)
            return [found]
    what = "code out of the file ran" if canary.exists() else "the file was read"
    canary.unlink(missing_ok=True)
    return [Finding(check=CHECK, outcome=Outcome.PASS, message=what)]


def _passed(load: Callable[[], Any]) -> Finding:
    try:
        load()
    except GateFailed as error:
        return Finding(check=CHECK, outcome=Outcome.FAIL, message=error.message, next_step=error.next_step)
    return Finding(check=CHECK, outcome=Outcome.PASS, message="read, and every type in it is on the list")

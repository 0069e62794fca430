"""Hostile model files, each made with a canary: a file that appears when anything in them is executed."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

from mlops.adapters import models

Maker = Callable[[Path], bytes]


class Bomb:
    """What writes the canary as soon as it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.canary, "executed")


@cache
def honest() -> bytes:
    X = np.arange(20.0).reshape(-1, 1)
    return models.dump(LogisticRegression().fit(X, (X[:, 0] > 9).astype(int)))


def archive(members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return buffer.getvalue()


def members(**more: bytes) -> dict[str, bytes]:
    """The members of an honest file, and more."""
    with zipfile.ZipFile(io.BytesIO(honest())) as file:
        return {name: file.read(name) for name in file.namelist()} | more


def schema(**changed: Any) -> bytes:
    return json.dumps({**json.loads(members()["schema.json"]), **changed}).encode()


def of(root: Mapping[str, Any]) -> bytes:
    """The archive whose only content is the object `root`."""
    return archive({"schema.json": json.dumps({"protocol": 2, "_skops_version": "0.16", **root}).encode()})


def node(name: str, loader: str, **rest: Any) -> dict[str, Any]:
    module, _, last = name.rpartition(".")
    return {"__class__": last, "__module__": module, "__loader__": loader, **rest}


def value(of: Any) -> dict[str, Any]:
    return node("builtins.str", "JsonNode", content=json.dumps(of), is_json=True)


def row(*items: Mapping[str, Any]) -> dict[str, Any]:
    return node("builtins.tuple", "TupleNode", content=list(items))


def listed(*items: Mapping[str, Any]) -> dict[str, Any]:
    return node("builtins.list", "ListNode", content=list(items))


def call(name: str, *arguments: Any) -> dict[str, Any]:
    """An object that is made by calling `name` with plain arguments, while the file is read."""
    return node(name, "ConstructorFromReduceNode", content=row(*map(value, arguments)))


def called_with_a_key(function: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A dict whose keys are made by calling a function, while the file is read."""
    return node("builtins.dict", "DictNode", key_types=listed(function), content={key: value(0)})


def partial(function: str, *arguments: Any) -> dict[str, Any]:
    parts = {
        "func": node(function, "FunctionNode"),
        "args": row(*map(value, arguments)),
        "kwds": node("builtins.dict", "DictNode", key_types=listed(), content={}),
        "namespace": value(None),
    }
    return node("functools.partial", "PartialNode", content=parts)


EXECUTING: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "os.system": ("posix.system", lambda c: call("posix.system", f"touch {c}")),
    "subprocess.call": ("subprocess.call", lambda c: call("subprocess.call", ["touch", str(c)])),
    "subprocess.Popen": ("subprocess.run", lambda c: call("subprocess.run", ["touch", str(c)])),
    "builtins.eval": ("builtins.eval", lambda c: call("builtins.eval", f"open({str(c)!r}, 'w').close()")),
    "builtins.exec": ("builtins.exec", lambda c: call("builtins.exec", f"open({str(c)!r}, 'w').close()")),
    "builtins.open": ("builtins.open", lambda c: call("builtins.open", str(c), "w")),
    "os.mkdir": ("posix.mkdir", lambda c: call("posix.mkdir", str(c))),
    "runpy.run_path": ("runpy.run_path", lambda c: call("runpy.run_path", str(_script(c)))),
    "joblib.load": ("joblib.numpy_pickle.load", lambda c: call("joblib.numpy_pickle.load", str(_pickled(c)))),
    "a key that is made by os.system": (
        "posix.system",
        lambda c: called_with_a_key(node("posix.system", "FunctionNode"), f"touch {c}"),
    ),
    "a key that is made by functools.partial": (
        "posix.system",
        lambda c: called_with_a_key(partial("posix.system"), f"touch {c}"),
    ),
}
"""Files that call something while they are read: the type that would have to be trusted, and the object."""


def _script(canary: Path) -> Path:
    script = canary.with_name("script.py")
    script.write_text(f"open({str(canary)!r}, 'w').close()\n")
    return script


def _pickled(canary: Path) -> Path:
    file = canary.with_name("pickled")
    file.write_bytes(pickle.dumps(Bomb(canary)))
    return file


def _saved(canary: Path, compress: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(Bomb(canary), buffer, compress=compress)
    return buffer.getvalue()


def _objects(canary: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(canary)], dtype=object))
    return buffer.getvalue()


def _array(content: bytes, suffix: str = "npy") -> bytes:
    root = node("numpy.ndarray", "NdArrayNode", type="numpy", file=f"0.{suffix}")
    return archive({"schema.json": schema(**root), f"0.{suffix}": content})


def _of_shape(*shape: int) -> bytes:
    header = str({"descr": "<f8", "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def _twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("schema.json", schema())
        out.writestr("schema.json2", schema(__module__="os", __class__="system"))
    return buffer.getvalue().replace(b"schema.json2", b"schema.json\x00")


def _declared(size: int) -> bytes:
    """An archive whose directory says that a member is larger than the file."""
    data = bytearray(archive({"schema.json": schema()}))
    place = data.rindex(b"PK\x01\x02") + 20
    data[place : place + 8] = size.to_bytes(4, "little") * 2
    return bytes(data)


def _pickles(canary: Path) -> dict[str, bytes]:
    bomb = pickle.dumps(Bomb(canary))
    return {
        **{f"pickle {p}": pickle.dumps(Bomb(canary), protocol=p) for p in range(6)},
        "cloudpickle": cloudpickle.dumps(Bomb(canary)),
        "pickle in gzip": gzip.compress(bomb),
        "pickle in bz2": bz2.compress(bomb),
        "pickle in xz": lzma.compress(bomb),
        "pickle in zlib": zlib.compress(bomb),
        **{f"joblib {c}": _saved(canary, c) for c in (0, 3, ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3))},
        "array of objects": _objects(canary),
    }


def _archives(canary: Path) -> dict[str, bytes]:
    bomb = pickle.dumps(Bomb(canary))
    loader = schema(loader_module="evil", __module__="evil")
    return {
        "zip of a pickle": archive({"data.pkl": bomb}),
        "zip as torch writes it": archive({"archive/data.pkl": bomb, "archive/version": b"3"}),
        "zip as MLflow writes it": archive(
            {"MLmodel": b"flavors: {python_function: {loader_module: evil, code: code}}", "code/evil.py": b"boom"}
        ),
        "model with a pickle beside it": archive(members(**{"data.pkl": bomb})),
        "model with a pickle for an array": archive(members(**{"0.npy": bomb})),
        "model with code": archive(members(**{"code/__init__.py": b"import os"})),
        "model with a loader module": archive(members(**{"schema.json": loader})),
        "zip slip": archive(members(**{"../../evil.py": b"x"})),
        "zip slip by a full path": archive(members(**{"/tmp/evil.py": b"x"})),
        "zip slip by a backslash": archive(members(**{"..\\0.npy": b"x"})),
        "zip bomb": archive({"schema.json": b" " * (64 << 20)}, compression=zipfile.ZIP_DEFLATED),
        "zip in a zip": archive({"0.npy": archive(members()), "schema.json": b"{}"}),
        "two schemas": _twice(),
        "larger than it is": _declared(1 << 31),
        "zip without a schema": archive({"0.npy": b"x"}),
        "zip header alone": b"PK\x03\x04" + b"\0" * 40,
        "cut off": honest()[: len(honest()) // 2],
        "cut off at the end": honest()[:-10],
    }  # fmt: skip


def _schemas(canary: Path) -> dict[str, bytes]:
    system = "posix.system"
    path = {"func": "touch", "obj": call("pathlib.PosixPath", str(canary))}
    return {
        **{f"calls {name}": of(make(canary)) for name, (_, make) in EXECUTING.items()},
        "trusts itself": of({**call(system, f"touch {canary}"), "trusted": [system], "__trusted__": True}),
        "methodcaller": of(
            called_with_a_key(node("operator.methodcaller", "OperatorFuncNode", attrs=row(value("touch"))), str(canary))
        ),
        "method of a path": of(
            node("pathlib.PosixPath", "MethodNode", content=path)
        ),
        "an operator out of os": of(node("os.system", "OperatorFuncNode", attrs=row(value("x")))),
        "sklearn's own os": of(node("sklearn.utils._testing.os", "ObjectNode")),
        "a default that is os.system": of(
            node("collections.defaultdict", "DefaultDictNode",
                 content={"main": value({}), "default_factory": node(system, "FunctionNode")})
        ),
        "numpy.load with pickles": of(call("numpy.load", str(_pickled(canary)), None, True)),
        "a pickle in an array": _array(_objects(canary)),
        "a pickle in an npz": _array(archive({"a.npy": _objects(canary)}), "npz"),
        "an array beyond memory": _array(_of_shape(1 << 50)),
        "an array of negative size": _array(_of_shape(-1)),
        "a member that is not there": archive(
            {"schema.json": schema(**node("numpy.ndarray", "NdArrayNode", type="numpy", file="9.npy"))}
        ),
        "a member outside": archive(
            {"schema.json": schema(**node("numpy.ndarray", "NdArrayNode", type="numpy", file="/etc/hostname"))}
        ),
        "a node that nobody wrote": of(node("builtins.dict", "CachedNode", __id__=12345)),
        "a loader that is none": of(node(system, "EvalNode")),
        "a protocol of the future": archive({"schema.json": schema(protocol=999)}),
        "a protocol that is none": archive({"schema.json": schema(protocol=True)}),
        "a schema that is a list": archive({"schema.json": b"[]"}),
        "a schema that is no JSON": archive({"schema.json": b"{"}),
        "a schema that nests deeply": archive({"schema.json": b'{"content":' * 9000 + b"1" + b"}" * 9000}),
        "an object that is itself": of(node("builtins.list", "ListNode", __id__=1,
                                            content=[node("builtins.list", "ListNode", __id__=1, content=[])])),
    }  # fmt: skip


def files(canary: Path) -> dict[str, bytes]:
    """Every hostile file by name."""
    other = {"nothing": b"", "text": b"import os; os.system('touch x')", "noise": np.random.default_rng(0).bytes(4096)}
    return {**other, **_pickles(canary), **_archives(canary), **_schemas(canary)}


def _kinds() -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as place:
        return tuple(files(Path(place) / "canary"))


KINDS = _kinds()
"""The names of the hostile files."""


# -- ONNX ---------------------------------------------------------------------------------------------------------


def graphs(secret: Path) -> dict[str, bytes]:
    """ONNX files that read `secret`, want a foreign library, or are none."""
    import onnx
    from onnx import TensorProto, helper

    def made(nodes: Sequence[Any], tensors: Sequence[Any] = (), sparse: Sequence[Any] = (), **more: Any) -> Any:
        ends = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, [None, 1]) for n in ("numbers", "label")]
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializer=tensors, sparse_initializer=sparse)
        opsets = [helper.make_opsetid("", 19), *more.pop("opsets", [])]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, **more)

    def outside(location: str, kind: int = TensorProto.DOUBLE) -> Any:
        tensor = TensorProto(name="w", data_type=kind, dims=[1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        return tensor

    add = helper.make_node("Add", ["numbers", "w"], ["label"])
    copy = helper.make_node("Identity", ["numbers"], ["label"])
    constant = helper.make_node("Constant", [], ["w"], value=outside(secret.name))
    inner = helper.make_graph(
        [constant, helper.make_node("Identity", ["w"], ["o"])], "i", [],
        [helper.make_tensor_value_info("o", TensorProto.DOUBLE, [1])],
    )  # fmt: skip
    yes = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    branch = helper.make_node("If", ["c"], ["label"], then_branch=inner, else_branch=inner)
    foreign = helper.make_node("Run", ["numbers"], ["label"], domain="evil.ops")
    local = helper.make_function("evil.ops", "Run", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])],
                                 [helper.make_opsetid("", 19)])  # fmt: skip
    values, indices = outside(secret.name), helper.make_tensor("w_i", TensorProto.INT64, [1], [0])
    sparse = onnx.SparseTensorProto(values=values, indices=indices, dims=[1])
    own = [helper.make_opsetid("evil.ops", 1)]
    nothing = helper.make_node("Nothing", ["numbers"], ["label"])
    vast = TensorProto(name="w", data_type=TensorProto.DOUBLE, dims=[1 << 50])
    whole = made([copy]).SerializeToString()
    return {
        "weights in a file beside it": made([add], [outside(secret.name)]).SerializeToString(),
        "weights in a file of the machine": made([add], [outside(str(secret))]).SerializeToString(),
        "weights in a file above": made([add], [outside("../../../../../../etc/hostname")]).SerializeToString(),
        "text in a file beside it": made([add], [outside(secret.name, TensorProto.STRING)]).SerializeToString(),
        "a constant in a file beside it": made([constant, add]).SerializeToString(),
        "a branch that reads a file": made([branch], [yes]).SerializeToString(),
        "sparse weights in a file": made([add], sparse=[sparse]).SerializeToString(),
        "an operator of a foreign library": made([foreign], opsets=own).SerializeToString(),
        "a function of a foreign name": made([foreign], opsets=own, functions=[local]).SerializeToString(),
        "an operator that is not there": made([nothing]).SerializeToString(),
        "weights larger than the file": made([add], [vast]).SerializeToString(),
        "no graph": onnx.ModelProto(ir_version=10).SerializeToString(),
        "cut off": whole[: len(whole) // 2],
        "a length beyond the file": b"\x3a\xff\xff\xff\xff\x0f",
        "a number without end": b"\xff" * 40,
        "nested without end": _nested(),
        "a pickle": pickle.dumps(Bomb(secret.with_name("canary"))),
        "nothing": b"",
        "noise": np.random.default_rng(0).bytes(4096),
    }  # fmt: skip


def _nested(depth: int = 200) -> bytes:
    """A graph in an attribute of a node of a graph, and so on."""
    data = b""
    for _ in range(depth):
        for number in (1, 5, 6):  # node of the graph, attribute of the node, graph of the attribute
            data = bytes([number << 3 | 2]) + _length(len(data)) + data
    return b"\x3a" + _length(len(data)) + data


def _length(size: int) -> bytes:
    parts = []
    while size > 127:
        parts.append(size & 127 | 128)
        size >>= 7
    return bytes([*parts, size])

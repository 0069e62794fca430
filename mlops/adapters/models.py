"""Fitted estimators as skops files, which hold data and names of types, never code to run.

The same estimator gives the same bytes. A file is read only when its digest is the expected one, when
it is the plain archive that `dump` writes, and when every type in it is on our list or the user's.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops.errors import GateFailed

TRUSTED: tuple[str, ...] = (
    # skops leaves the first two out because a crafted file can hold node numbers beyond the tree. Ours is only
    # read under the digest that the training recorded.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "builtins.object",
    "functools.partial",  # of a function that must be trusted itself, and is not called by loading
    "numpy.number",
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer._RemainderColsList",  # scikit-learn 1.6
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.metrics._classification.accuracy_score",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._classification.f1_score",
    "sklearn.metrics._classification.log_loss",
    "sklearn.metrics._ranking.average_precision_score",
    "sklearn.metrics._ranking.roc_auc_score",
    "sklearn.metrics._regression.mean_absolute_error",
    "sklearn.metrics._regression.mean_squared_error",
    "sklearn.metrics._regression.r2_score",
    "sklearn.metrics._regression.root_mean_squared_error",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.ShuffleSplit",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.StratifiedShuffleSplit",
    "sklearn.model_selection._split.TimeSeriesSplit",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)
"""Types that a model file may hold beyond those that skops itself trusts: found by saving every estimator there is."""

NEVER: frozenset[str] = frozenset(
    [
        "_posixsubprocess",
        "asyncio",
        "builtins",
        "cloudpickle",
        "code",
        "codeop",
        "commands",
        "ctypes",
        "dill",
        "distutils",
        "ensurepip",
        "importlib",
        "io",
        "joblib",
        "marshal",
        "mlflow",
        "multiprocessing",
        "nt",
        "operator",
        "os",
        "pathlib",
        "pickle",
        "pip",
        "pkgutil",
        "platform",
        "posix",
        "posixpath",
        "pty",
        "pydoc",
        "runpy",
        "setuptools",
        "shelve",
        "shutil",
        "signal",
        "site",
        "skops",
        "socket",
        "subprocess",
        "sys",
        "tempfile",
        "timeit",
        "torch",
        "types",
        "urllib",
        "venv",
        "webbrowser",
        "zipfile",
        "zipimport",
    ]
)
"""Modules that run commands, read files or load other formats: no model needs a part of them, so none is trusted."""

SUFFIX = ".skops"
_SCHEMA = "schema.json"
_MEMBER = re.compile(r"^[0-9]+\.(npy|npz|bin)$|^schema\.json$")
_DATE = (1980, 1, 1, 0, 0, 0)


def dump(estimator: Any) -> bytes:
    """The skops file of an estimator; GateFailed where skops cannot express a part of it."""
    import skops.io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = skops.io.dumps(estimator)
    except Exception as error:  # whatever skops raises for a part that it does not know
        raise GateFailed(
            f"{type(estimator).__name__} cannot be saved without pickle: {_sentence(error)}",
            next_step="build the model of scikit-learn's own estimators, or of functions at the top level of a module",
        ) from error
    return _canonical(data)


def load(path: Path, *, digest: str, trusted: Sequence[str] = ()) -> Any:
    """The estimator in a skops file; `trusted` are the user's additions, fully qualified.

    GateFailed when the content is not the one of `digest` (nothing has been parsed then), when it is no
    plain skops file, or when it holds a type that is on neither list.
    """
    if not path.is_file():  # a device would never end, and a pipe never begin
        raise _unreadable(str(path), "it is no regular file")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise GateFailed(
            f"{path} is not the model that was recorded: sha256 {found[:12]}, expected {digest[:12]}",
            next_step="run `mlops run` to make it again; do not use the file",
        )
    return loads(data, trusted=trusted, name=str(path))


def loads(data: bytes, *, trusted: Sequence[str] = (), name: str = "the model") -> Any:
    """The estimator in the bytes of a skops file whose digest has been checked; GateFailed as for `load`."""
    _demand_plain_archive(data, name)
    import skops.io

    try:
        types = [t for t in skops.io.get_untrusted_types(data=data) if t not in TRUSTED]
        forbidden = [t for t in types if t.partition(".")[0] in NEVER]
        foreign = [t for t in types if t not in trusted]
        if not foreign and not forbidden:
            return _predicting(skops.io.loads(data, trusted=[*TRUSTED, *trusted]))
    except Exception as error:  # a crafted file can make the reader raise anything; it is refused all the same
        raise _unreadable(name, _sentence(error)) from error
    raise _forbidden(forbidden, name) if forbidden else _untrusted(foreign, trusted, name)


def _predicting(found: Any) -> Any:
    if not callable(getattr(found, "predict", None)):
        raise TypeError(f"it holds {type(found).__name__}, which predicts nothing")
    return found


def _forbidden(types: Sequence[str], name: str) -> GateFailed:
    return GateFailed(
        f"{name} holds {', '.join(types)}, which can run code or read files: no model needs it, and no list allows it",
        next_step="do not use the file; if you wrote it, build the model of estimators and of functions of your own",
    )


def _untrusted(foreign: Sequence[str], trusted: Sequence[str], name: str) -> GateFailed:
    listed = ", ".join(json.dumps(t) for t in [*trusted, *foreign])
    message = f"{name} holds {'a type' if len(foreign) == 1 else 'types'} that nobody trusts: {', '.join(foreign)}"
    if any("<" in t for t in foreign):  # a lambda, or a function inside a function: no name leads to it
        return GateFailed(message, next_step="write it as a function with a name, at the top level of a module")
    return GateFailed(
        message,
        next_step=f"if you wrote or know it, put trusted = [{listed}] under [tool.mlops.package] in pyproject.toml",
    )


def _unreadable(name: str, reason: str) -> GateFailed:
    return GateFailed(
        f"{name} is not a model file of ours: {reason}",
        next_step="only skops files that `mlops train` wrote are read; pickle and joblib files never are",
    )


def _demand_plain_archive(data: bytes, name: str) -> None:
    """Refuse what `dump` would not write: other formats, odd or compressed members, sizes beyond the file's."""
    if not data.startswith(b"PK\x03\x04"):
        raise _unreadable(name, f"it is {_kind(data)}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise _unreadable(name, _sentence(error)) from error
    names = [member.filename for member in members]
    odd = [n for n in names if not _MEMBER.match(n)]
    if odd or len(set(names)) != len(names) or _SCHEMA not in names:
        raise _unreadable(
            name, f"its members are not those of a model: {', '.join(odd[:3]) or 'twice the same, or no schema'}"
        )
    if any(m.compress_type != zipfile.ZIP_STORED for m in members) or sum(m.file_size for m in members) > len(data):
        raise _unreadable(name, "its members are compressed or overlap")


def _kind(data: bytes) -> str:
    kinds = {
        b"\x80": "a pickle",
        b"\x1f\x8b": "compressed by gzip",
        b"BZh": "compressed by bzip2",
        b"\xfd7zXZ": "compressed by xz",
        b"\x28\xb5\x2f\xfd": "compressed by zstandard",
        b"\x93NUMPY": "a NumPy array",
        b"\x78": "compressed by zlib, as joblib does",
    }
    found = next((what for magic, what in kinds.items() if data.startswith(magic)), "")
    return found or ("empty" if not data else "no skops archive")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:300] or type(error).__name__


def _canonical(data: bytes) -> bytes:
    """The same archive without what differs from run to run: addresses as identities, sets' order, dates."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(_SCHEMA))
        content = {n: archive.read(n) for n in archive.namelist() if n != _SCHEMA}
    names: dict[str, str] = {}
    schema = _renumbered(_sorted_sets(schema), {}, names)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_STORED) as archive:
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new, _DATE), content[old])
        archive.writestr(zipfile.ZipInfo(_SCHEMA, _DATE), json.dumps(schema, separators=(",", ":")))
    return buffer.getvalue()


def _sorted_sets(value: Any) -> Any:
    if isinstance(value, list):
        return [_sorted_sets(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: _sorted_sets(item) for key, item in value.items()}
    if value.get("__loader__") == "SetNode":
        value["content"] = sorted(value["content"], key=lambda item: (item.get("__class__"), str(item.get("content"))))
    return value


def _renumbered(value: Any, identities: dict[int, int], names: dict[str, str]) -> Any:
    """Identities become 1, 2, … in order of appearance, and members are called after their own order."""
    if isinstance(value, list):
        return [_renumbered(item, identities, names) for item in value]
    if not isinstance(value, dict):
        return value
    renamed: dict[str, Any] = {}
    for key, item in value.items():
        if key == "__id__" and isinstance(item, int):
            renamed[key] = identities.setdefault(item, len(identities) + 1)
        elif key == "file" and isinstance(item, str) and "__loader__" in value:
            renamed[key] = names.setdefault(item, f"{len(names)}{Path(item).suffix}")
        else:
            renamed[key] = _renumbered(item, identities, names)
    return renamed

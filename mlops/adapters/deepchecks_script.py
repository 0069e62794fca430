# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = [
#   "anyio==4.16.0",
#   "appnope==1.0.0; sys_platform == 'darwin'",
#   "argon2-cffi==25.1.0",
#   "argon2-cffi-bindings==26.2.0",
#   "arrow==1.4.0",
#   "asttokens==3.0.2",
#   "attrs==26.1.0",
#   "beautifulsoup4==4.15.0",
#   "bleach==6.4.0",
#   "category-encoders==2.7.0",
#   "certifi==2026.10.18",
#   "cffi==2.1.1",
#   "charset-normalizer==3.5.2",
#   "cloudpickle==3.1.2",
#   "colorama==0.4.6; sys_platform == 'win32'",
#   "comm==0.2.3",
#   "contourpy==1.3.3",
#   "cycler==0.12.1",
#   "debugpy==1.8.22",
#   "deepchecks==0.19.1",
#   "defusedxml==0.7.1",
#   "executing==2.3.0",
#   "fastjsonschema==2.22.3",
#   "fonttools==4.68.0",
#   "formulaic==1.2.2",
#   "fqdn==1.6.0",
#   "idna==3.20",
#   "interface-meta==2.0.1",
#   "ipykernel==7.4.0",
#   "ipython==9.18.1",
#   "ipython-pygments-lexers==1.1.1",
#   "ipywidgets==8.1.9",
#   "isoduration==20.11.0",
#   "jedi==0.20.1",
#   "jinja2==3.1.6",
#   "joblib==1.6.0",
#   "jsonpickle==4.1.4",
#   "jsonpointer==3.12",
#   "jsonschema==4.26.0",
#   "jsonschema-specifications==2025.9.1",
#   "jupyter-client==8.10.0",
#   "jupyter-core==5.9.1",
#   "jupyter-events==0.12.1",
#   "jupyter-server==2.21.1",
#   "jupyter-server-terminals==0.5.4",
#   "jupyterlab-pygments==0.3.0",
#   "jupyterlab-widgets==3.0.17",
#   "kiwisolver==1.5.1",
#   "lark==1.3.1",
#   "markupsafe==3.0.4",
#   "matplotlib==3.11.2",
#   "matplotlib-inline==0.2.2",
#   "mistune==3.4.0",
#   "narwhals==2.28.0",
#   "nbclient==0.11.0",
#   "nbconvert==7.17.2",
#   "nbformat==5.11.1",
#   "nest-asyncio2==1.7.4",
#   "numpy==1.26.4",
#   "overrides==7.7.0; python_full_version < '3.12'",
#   "packaging==26.3",
#   "pandas==2.2.3",
#   "pandocfilters==1.5.1",
#   "parso==0.8.7",
#   "patsy==1.0.3",
#   "pexpect==4.9.0; sys_platform != 'emscripten' and sys_platform != 'win32'",
#   "pillow==13.0.0",
#   "platformdirs==4.14.5",
#   "plotly==7.1.0",
#   "prometheus-client==0.26.0",
#   "prompt-toolkit==3.0.53",
#   "psutil==7.2.2; sys_platform != 'android' and sys_platform != 'cygwin' and sys_platform != 'emscripten'",
#   "ptyprocess==0.7.0; os_name != 'nt' or (sys_platform != 'emscripten' and sys_platform != 'win32')",
#   "pure-eval==0.2.4",
#   "pyarrow==21.0.0",
#   "pycparser==3.12; implementation_name != 'PyPy'",
#   "pygments==2.21.0",
#   "pynomaly==0.4.0",
#   "pyparsing==3.3.3",
#   "python-dateutil==4.0.0",
#   "python-json-logger==4.2.0",
#   "python-utils==4.1.4",
#   "pytz==2026.6",
#   "pywinpty==3.1.2; os_name == 'nt'",
#   "pyyaml==6.0.3",
#   "pyzmq==27.3.0",
#   "referencing==0.37.0",
#   "requests==2.34.2",
#   "rfc3339-validator==0.1.4",
#   "rfc3986-validator==0.1.1",
#   "rfc3987-syntax==1.1.0",
#   "rpds-py==2026.9.1",
#   "scikit-learn==1.5.2",
#   "scipy==1.17.1",
#   "send2trash==2.2.0",
#   "setuptools==80.9.0",
#   "six==1.17.0",
#   "soupsieve==2.10; python_full_version < '3.11.5'",
#   "soupsieve==4.1.1; python_full_version >= '3.11.5'",
#   "stack-data==0.6.3",
#   "statsmodels==0.15.0",
#   "terminado==0.18.1",
#   "threadpoolctl==3.8.0",
#   "tinycss2==1.5.1",
#   "tornado==6.6.1",
#   "tqdm==4.70.1",
#   "traitlets==5.16.1",
#   "typing-extensions==4.16.0",
#   "tzdata==2026.6",
#   "uri-template==1.3.0",
#   "urllib3==2.8.0",
#   "wcwidth==0.9.4",
#   "webcolors==25.10.0",
#   "webencodings==0.6.1",
#   "websocket-client==1.9.2",
#   "widgetsnbextension==4.0.16",
#   "wrapt==2.5.2",
# ]
# ///
"""Runs deepchecks in an environment of its own: jobs come in as JSON lines, answers go out as JSON lines.

Started by `mlops.adapters.deepchecks` with `uv run --script`; imports nothing of `mlops`. The pins above are exact,
because deepchecks 0.19 imports only with numpy<2, pandas<3, scikit-learn<1.6 and a setuptools that still has
`pkg_resources`. One job names its tables (Parquet), the label, and the checks with their conditions; the answer holds
one entry per check: what its conditions said, or why it did not run. Nothing is judged here.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

# This file's folder holds a `deepchecks.py` of ours, which must not shadow the library.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

_WATCH_SECONDS = 0.5


def main(arguments: list[str]) -> None:
    """Say that we are ready, then answer jobs until standard input ends or the parent process is gone."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to the log, never between the answers
    if arguments:
        threading.Thread(target=_die_with, args=(int(arguments[0]),), daemon=True).start()
    warnings.simplefilter("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # optional to jsonschema; a second of import
    import deepchecks
    import deepchecks.tabular.checks
    import pyarrow.parquet  # noqa: F401  now, while others work, not with the first job

    _answer(answers, {"ready": True, "version": deepchecks.__version__, "python": sys.version.split()[0]})
    for line in sys.stdin:
        job = json.loads(line)
        try:
            _answer(answers, {"id": job["id"], "checks": run(job)})
        except Exception as error:  # noqa: BLE001  whatever a job dies of is its answer; the next job is another
            _answer(answers, {"id": job["id"], "error": _reason(error), "trace": traceback.format_exc()[-4000:]})


def run(job: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per check of the job, in its order."""
    from deepchecks.tabular.context import Context, _DummyModel

    # Static predictions answer as `_predict`, which scikit-learn's scorers refuse for a regression by its name.
    for name in ("predict", "predict_proba"):
        getattr(_DummyModel, f"_{name}").__name__ = name
    train, train_answers = _dataset(job, "train")
    test, test_answers = _dataset(job, "test")
    classes = list(range(job["classes"])) if job.get("classes") else None
    context = Context(
        train,
        test,
        y_pred_train=train_answers.get("prediction"),
        y_pred_test=test_answers.get("prediction"),
        y_proba_train=train_answers.get("probabilities"),
        y_proba_test=test_answers.get("probabilities"),
        model_classes=classes if "prediction" in test_answers else None,
        with_display=False,
    )
    return [_one(spec, context, job["seed"]) for spec in job["checks"]]


def _dataset(job: dict[str, Any], which: str) -> tuple[Any, dict[str, Any]]:
    from deepchecks.tabular import Dataset

    if not job.get(which):
        return None, {}
    frame = _frame(job[which])
    if which == "test":
        frame.index = range(10**9, 10**9 + len(frame))  # the static predictions are found by the row's index
    answers: dict[str, Any] = {}
    if job.get("prediction") in frame:
        answers["prediction"] = frame.pop(job["prediction"]).to_numpy()
    probabilities = [name for name in job.get("probabilities", []) if name in frame]
    if probabilities:
        answers["probabilities"] = frame[probabilities].to_numpy()
        frame = frame.drop(columns=probabilities)
    for name in job["categorical"]:
        # Nulls stay what they are: as text they would become a category of their own.
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    dataset = Dataset(
        frame,
        label=job.get("label"),
        cat_features=job["categorical"],
        features=job["features"],
        index_name=job.get("index"),
        datetime_name=job.get("timestamp"),
        label_type=job.get("task"),
    )
    return dataset, answers


def _frame(path: str) -> Any:
    import pandas as pd
    import pyarrow.parquet as pq

    # Without the writer's pandas metadata: it names string types that this older pandas does not know.
    frame = pq.read_table(path).replace_schema_metadata(None).to_pandas()
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.DatetimeTZDtype):
            frame[name] = frame[name].dt.tz_convert(None)
    return frame


def _one(spec: dict[str, Any], context: Any, seed: int) -> dict[str, Any]:
    """The conditions of one check, or the reason why it did not run."""
    import numpy as np
    from deepchecks.core import CheckFailure, DatasetKind
    from deepchecks.tabular import checks
    from deepchecks.tabular.base_checks import SingleDatasetCheck

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  deepchecks draws from the global generator
    start = time.monotonic()
    entry: dict[str, Any] = {"check": spec["check"]}
    try:
        check = getattr(checks, spec["check"])(**spec.get("params", {}))
        for name, options in spec["conditions"]:
            getattr(check, name)(**{key: _tuple(value) for key, value in options.items()})
        if isinstance(check, SingleDatasetCheck):
            kind = DatasetKind.TEST if spec.get("on") == "test" else DatasetKind.TRAIN
            result = check.run_logic(context, dataset_kind=kind)
        else:
            result = check.run_logic(context)
        if isinstance(result, CheckFailure):
            entry["error"] = _reason(result.exception)
        else:
            result.check = check
            result.process_conditions()
            entry["conditions"] = [_said(condition) for condition in result.conditions_results]
            entry["value"], entry["column"] = _measured(result.value)
    except Exception as error:  # noqa: BLE001  a check that crashed did not run, and the answer says why
        entry["error"] = _reason(error)
    entry["seconds"] = round(time.monotonic() - start, 3)
    return entry


def _said(condition: Any) -> dict[str, str]:
    return {"name": condition.name, "category": condition.category.name, "details": str(condition.details)}


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _measured(value: Any) -> tuple[float | None, str]:
    """The number behind a result, as far as it has one, and the column that it is of, where it is the worst of many."""
    if not isinstance(value, dict):
        return _number(value), ""
    for name in _MEASURED:
        if name in value:
            return _measured(value[name])
    by_column = {str(name): _measured(of_one)[0] for name, of_one in value.items()}
    numbers = {name: number for name, number in by_column.items() if number is not None}
    worst = max(numbers, key=lambda name: abs(numbers[name]), default="")
    return numbers.get(worst), worst


_MEASURED = (
    "train-test difference", "Drift score", "ratio", "domain_classifier_drift_score", "percent_of_conflicting_samples",
)  # fmt: skip
"""What the conditions judge, by the names under which results hold it."""


def _number(value: Any) -> float | None:
    number: float | None = None
    with contextlib.suppress(TypeError, ValueError):
        number = float(value)
    return number if number is not None and abs(number) < float("inf") else None


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def _answer(stream: Any, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def _die_with(parent: int) -> None:
    # uv stands between us and the process that started us, so the death signal of the kernel would not reach us.
    while True:
        time.sleep(_WATCH_SECONDS)
        try:
            os.kill(parent, 0)
        except OSError:
            os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])

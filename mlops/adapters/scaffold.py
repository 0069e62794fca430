"""The files of a new project, out of `mlops/templates`, and their way into a folder: all of them or none."""

from __future__ import annotations

import json
import keyword
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from mlops import __version__
from mlops.adapters.files import appearing, disk_errors
from mlops.errors import UsageError

Values = tuple[str | float | int | bool, ...]

_WELCOME = (".git", ".github", ".venv", "venv", ".idea", ".vscode", ".DS_Store")
_WIDTH = 112
_WORKFLOWS = ("pull-request.yml", "main.yml", "rollback.yml", "monitor.yml", "retrain.yml")
_BESIDE = {
    "CODEOWNERS": ".github/CODEOWNERS",
    "dependabot.yml": ".github/dependabot.yml",
    "zizmor.yml": ".github/zizmor.yml",
    "actrc": ".actrc",
}
"""Templates in templates/github, and where they go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What the templates need: names, the task, the columns by their part with example values, the settings."""

    name: str
    model: str
    source: str
    data: str
    label: str
    labels: Values
    timestamp: str | None
    task: str
    why: str
    metric: str
    settings: Mapping[str, Any]
    numbers: Mapping[str, Values]
    categories: Mapping[str, Values]
    codes: Mapping[str, Values]
    ignored: Mapping[str, str]


def named(text: str) -> str:
    """A name for a model, a source and their modules: `bank_full` of `Bank-full (1)`."""
    slug = re.sub(r"_v?[0-9]*$", "", re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_"))
    slug = slug if slug[:1].isalpha() else f"table_{slug}".rstrip("_")
    return f"{slug}_" if keyword.iskeyword(slug) else slug


def sources_of(project: Project, *, github: bool) -> dict[str, str]:
    """Path -> text of every file but pyproject.toml, which needs the floor, and the schema, which needs the data.

    `github` says whether the workflows of `github_of` are written too, of which the README then tells.
    """
    values = _values(project) | {"github": f"\n{render('README.github.md', {})}" if github else ""}
    model, source = project.model, project.source
    return {
        f"models/{model}.py": render("model.py", values),
        "models/__init__.py": '"""The models of this project."""\n',
        f"features/{source}.py": render("features.py", values),
        "features/__init__.py": '"""The features of this project."""\n',
        f"tests/features/test_{source}.py": render("test_features.py", values),
        f"tests/models/test_{model}.py": render("test_model.py", values),
        "bentofile.yaml": render("bentofile.yaml", values),
        ".gitignore": render("gitignore", values),
        "README.md": render("README.md", values),
    }


def github_of(*, owner: str | None) -> dict[str, str]:
    """Path -> text of what GitHub needs: workflows that call those of mlops, reviewers, updates; and act's settings.

    `owner` is whom CODEOWNERS names, such as `@acme/ml`; None leaves its lines for people to fill in.
    """
    folder = files("mlops").joinpath("templates", "github")
    texts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in (*_WORKFLOWS, *_BESIDE)}
    return {
        **{f".github/workflows/{name}": texts[name].replace("@VERSION", f"@v{__version__}") for name in _WORKFLOWS},
        **{_BESIDE[name]: texts[name] for name in _BESIDE},
        ".github/CODEOWNERS": texts["CODEOWNERS"] + _owned(owner),
    }


def _owned(owner: str | None) -> str:
    """The lines of CODEOWNERS: features and what their data must look like, tests, labels put right, thresholds."""
    line = "{path} {owner}" if owner else "# {path} @acme/data-science"
    owned = ("/features/", "/models/*.py", "/tests/", "/reviews/", "/pyproject.toml", "/requirements.lock", "/.github/")
    return "".join(f"{line.format(path=path, owner=owner)}\n" for path in owned)


def pyproject(project: Project, *, floor: float, reason: str) -> str:
    """The text of pyproject.toml; `reason` says where the floor comes from."""
    values = _values(project) | {"floor": f"{floor:g}", "floor_reason": "\n# ".join(_wrapped(reason))}
    return render("pyproject.toml", values)


def render(template: str, values: Mapping[str, str]) -> str:
    """A template of `mlops/templates` with its `$names` filled in; an unknown name is a KeyError."""
    text = files("mlops").joinpath("templates", f"{template}.template").read_text(encoding="utf-8")
    return Template(text).substitute(values)


@contextmanager
def placed(folder: Path, *, data: Path | None) -> Iterator[Path]:
    """A temporary folder whose files appear in `folder` together when the block ends well, else vanish.

    UsageError names what lies in `folder` already; a fresh repository, and `data` itself, may.
    """
    present = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", next_step="name a folder that does not exist yet")
    inside = data.relative_to(folder).parts[:1] if data is not None and data.is_relative_to(folder) else ()
    strange = [name for name in present if name not in _WELCOME and name not in inside]
    if strange:
        shown = ", ".join(strange[:8]) + (", …" if len(strange) > 8 else "")
        raise UsageError(
            f"{folder} is not empty: {shown}", next_step="name a folder that does not exist yet, or empty this one"
        )
    if not present:
        with appearing(folder) as temporary:
            yield temporary
        folder.chmod(0o777 & ~_umask())
        return
    with disk_errors(folder):
        temporary = Path(tempfile.mkdtemp(prefix=".init.", suffix=".tmp", dir=folder))
        moved: list[Path] = []
        try:
            yield temporary
            moved.extend(path.rename(folder / path.name) for path in sorted(temporary.iterdir()))
        except BaseException:
            for path in moved:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _values(project: Project) -> dict[str, str]:
    regression = project.task == "regression"
    title = project.model.replace("_", " ")
    answer = f"The value of {project.label}" if regression else f"The chances of the values of {project.label}"
    return {
        "project": json.dumps(project.name),
        "title": title.capitalize(),
        "model_title": title.capitalize(),
        "summary": _text(f"Predicts {project.label} from a row of {project.source}."),
        "answer": _text(answer),
        "data": project.data,
        "model": project.model,
        "source": project.source,
        "source_settings": "\n".join(_toml(project.settings)),
        "source_literal": json.dumps(project.source),
        "label_literal": _literal(project.label),
        "task_literal": json.dumps(project.task),
        "metric_literal": json.dumps(project.metric),
        "timestamp_line": f"    timestamp={_literal(project.timestamp)},\n" if project.timestamp else "",
        "labels": _literal([0.0, 1.0, 2.0] if regression else list(project.labels)),
        "predict": "predict" if regression else "predict_proba",
        "learned": _LEARNED[regression],
        "estimator": f"HistGradientBoosting{'Regressor' if regression else 'Classifier'}",
        "rounds": "150" if regression else "100",
        "task_sentence": f"The task is {project.task}: {project.why}.",
        "request": json.dumps(_request(project), ensure_ascii=False).replace("'", "'\\''"),
        "columns": _columns_told(project),
        **_example_feature(project),
        **_code(project),
    }


_LEARNED = {
    False: "assert (fitted.predict(X[200:]) == y[200:].to_numpy()).mean() > 0.9",
    True: "assert np.abs(fitted.predict(X[200:]) - y[200:]).mean() < 0.2",
}


_CODES = """\
(
                "codes",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
                CODES,
            )"""

_ENCODE = """\
    encode = ColumnTransformer(
        [
{inner}        ],
        remainder="passthrough",
    )
"""


def _code(project: Project) -> dict[str, str]:
    """The parts of the model's module that depend on which columns there are."""
    words = bool(project.categories or project.codes)
    encoders = [
        name for name, used in (("OneHotEncoder", project.categories), ("OrdinalEncoder", project.codes)) if used
    ]
    regression = project.task == "regression"
    imports = [
        *(["from sklearn.compose import ColumnTransformer"] if words else []),
        f"from sklearn.ensemble import HistGradientBoosting{'Regressor' if regression else 'Classifier'}",
        "from sklearn.pipeline import Pipeline",
        *([f"from sklearn.preprocessing import {', '.join(encoders)}"] if words else []),
    ]
    lists, parts = "", []
    if project.categories:
        lists += f"CATEGORIES = {_listed(project.categories)}  # few different words: a column of its own for each\n"
        parts.append('("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES)')
    if project.codes:
        lists += f"CODES = {_listed(project.codes)}  # many different words: a number for each\n"
        parts.append(_CODES)
    inner = "".join(f"            {part},\n" for part in parts)
    encode = _ENCODE.format(inner=inner) if words else ""
    ignored = "".join(f"        {_literal(name)},  # {_text(why)}\n" for name, why in project.ignored.items())
    return {
        "imports": "\n".join(imports),
        "lists": f"{lists}\n\n" if lists else "\n",
        "encode": encode,
        "steps": '("encode", encode), ("boost", boost)' if words else '("boost", boost)',
        "ignore_lines": f"    ignore=[\n{ignored}    ],\n" if ignored else "",
        "examples": "\n".join(
            f"    {_literal(name)}: {_literal(_example(v))}," for name, v in _inputs(project).items()
        ),
    }


def _inputs(project: Project) -> dict[str, Values]:
    return {**project.numbers, **project.categories, **project.codes}


def _example(values: Values) -> list[str | float]:
    return [value if isinstance(value, str) else float(value) for value in values]


def _request(project: Project) -> dict[str, Any]:
    return {name: values[len(values) // 2] if values else None for name, values in _inputs(project).items()}


def _example_feature(project: Project) -> dict[str, str]:
    first = next(iter(_inputs(project)), "column")
    return {"example_input": _literal(first), "example_name": f"{named(first)}_squared_v1"}


def _columns_told(project: Project) -> str:
    if not project.ignored:
        return "Every column but the label is read."
    told = "\n".join(f"- `{name}` {why}" for name, why in project.ignored.items())
    return f"These columns are not read; `ignore` in the model says so:\n\n{told}"


def _toml(settings: Mapping[str, Any]) -> Iterator[str]:
    tables = {key: value for key, value in settings.items() if isinstance(value, Mapping)}
    for key, value in settings.items():
        if key not in tables:
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in tables.items():
        inner = ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {json.dumps(v)}" for k, v in value.items())
        yield (
            f'{key} = {{ {inner} }}  # strptime forms; "" is ISO 8601'
            if key == "timestamps"
            else f"{key} = {{ {inner} }}"
        )


def _listed(names: Mapping[str, Values]) -> str:
    line = _literal(list(names))
    if len(line) < _WIDTH - 70:
        return line
    return "[\n" + "".join(f"    {_literal(name)},\n" for name in names) + "]"


def _literal(value: object) -> str:
    """A Python literal with double quotes, as formatters write it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return repr(value)


def _text(text: str) -> str:
    """One line that can stand in a docstring or a comment."""
    return " ".join(text.split()).replace("\\", "/").replace('"', "'")


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, _WIDTH)

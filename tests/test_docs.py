"""The documentation is true: every command, option, setting and check has its place, links resolve, snippets run."""

from __future__ import annotations

import importlib
import importlib.resources
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
import yaml

from mlops import config
from mlops.cli.group import SUMMARIES, mlops
from mlops.declare import METRICS, CheckOn
from mlops.discover import discover
from mlops.gates.severities import known_checks
from mlops.pyproject import load
from mlops.verdict import STEPS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]

NO_STEP = {
    "run": "it is the whole pipeline: mlops/pipeline.py",
    "plan": "it asks mlops/plan.py, which reads code and runs no step",
    "explain": "it asks mlops/explaining.py, which compares what keys are made of and runs no step",
    "completion": "it prints what click generates",
}
"""Commands without a file in mlops/steps, and why; their test is in tests/cli."""

NO_COMMAND = {
    "snapshot": "it is taken by every command that needs it",
    "build-features": "it is done by every command that needs it",
    "assemble": "it is done by every command that needs it",
    "register": "a release without its deployment is `mlops run --no-deploy`",
}
"""Steps of the pipeline without a command, and why."""

PRODUCTS = [file for file in sorted((ROOT / ".github/workflows").glob("*.yml")) if "workflow_call:" in file.read_text()]
NO_COMMAND_OF_ITS_OWN = {"pipeline": "it composes the others", "attest": "GitHub signs, not we"}
"""Product workflows that are not called as a command, and why."""

JUDGING = (
    "check-features",
    "check-data",
    "train",
    "check-model",
    "package",
    "check-service",
    "deploy",
    "rollback",
    "monitor",
    "retrain",
)
COMMON_INPUTS = ("install", "python-version", "runner", "minutes", "tracking-uri", "state")

STRUCTS = {
    "[tool.mlops]": config.Config,
    "[tool.mlops.tests]": config.Tests,
    "[tool.mlops.sources.NAME]": config.Source,
    "[tool.mlops.models.NAME]": config.ModelSettings,
    "[tool.mlops.models.NAME.fairness]": config.Fairness,
    "[tool.mlops.environments.NAME]": config.Environment,
    "[tool.mlops.environments.NAME.decisions]": config.Decisions,
    "[tool.mlops.environments.NAME.command]": config.Command,
    "[tool.mlops.environments.NAME.kubernetes]": config.Kubernetes,
    "[tool.mlops.load]": config.Load,
    "[tool.mlops.package]": config.Packaging,
    "[tool.mlops.signing]": config.Signing,
    "[tool.mlops.store]": config.Store,
    "[tool.mlops.engine]": config.Engine,
    "[tool.mlops.monitor]": config.Monitor,
    "[tool.mlops.retrain]": config.Retrain,
}


def command_of(name: str) -> click.Command:
    return importlib.import_module(f"mlops.cli.{name.replace('-', '_')}").command


def fenced(page: Path, language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def rows(text: str) -> dict[str, list[str]]:
    """The cells of all tables, by the first cell without its backticks."""
    tables = (re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in text.splitlines() if line.startswith("|"))
    cells = [[cell.strip() for cell in line] for line in tables]
    return {line[0].strip("`"): line[1:] for line in cells}


def test_the_map_for_contributors_names_what_is_there():
    table = (
        (DOCS / "contributing.md").read_text(encoding="utf-8").partition("## Where what lives")[2].partition("\n## ")[0]
    )
    places = [place for cells in rows(table).values() for place in re.findall(r"`([a-zA-Z_]+/?[\w.]*)`", cells[0])]
    assert len(places) > 40
    for place in places:
        assert (ROOT / "mlops" / place.replace("NAME", "monitor")).exists(), place


# -- commands -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_has_a_page_that_names_its_options_and_says_when_it_stops(name):
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# mlops {name}\n\n{SUMMARIES[name]}\n"), "the page begins with the command's summary"
    for heading in ("When it stops", "Options", "Example", "Where the result goes"):
        assert f"\n## {heading}\n" in text
    called = command_of(name)
    each = [called, *called.commands.values()] if isinstance(called, click.Group) else [called]
    for parameter in [p for one in each for p in one.params]:
        if isinstance(parameter, click.Option):
            assert f"`{parameter.opts[0]}" in text, parameter.opts[0]
        else:
            shown = (parameter.metavar or parameter.name or "").strip("[]…").rstrip("]").upper()
            assert shown in text, shown


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_page_names_no_option_that_the_command_does_not_have(name):
    section = (DOCS / f"{name}.md").read_text(encoding="utf-8").partition("## Options")[2].partition("\n## ")[0]
    called = command_of(name)
    each = [called, *called.commands.values()] if isinstance(called, click.Group) else [called]
    known = {option for one in each for p in one.params for option in p.opts} | {"--help"}
    assert set(re.findall(r"`(--[a-z-]+)", section)) <= known


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_has_help_with_an_example(name):
    help_text = command_of(name).get_help(click.Context(mlops, info_name="mlops"))
    assert "Example" in help_text
    assert f"mlops {name}" in help_text


@pytest.mark.parametrize("name", SUMMARIES)
def test_one_word_names_the_command_the_step_the_test_and_the_page(name):
    """One word, five places; the fifth, the workflow, is there for what runs on GitHub: see below."""
    file = name.replace("-", "_")
    assert (ROOT / f"mlops/cli/{file}.py").is_file()
    assert (DOCS / f"{name}.md").is_file()
    assert (ROOT / f"mlops/steps/{file}.py").is_file() != (name in NO_STEP), NO_STEP.get(name, "it has no step")
    test = ROOT / (f"tests/cli/test_{file}.py" if name in NO_STEP else f"tests/steps/test_{file}.py")
    assert test.is_file(), f"{test} is missing"


@pytest.mark.parametrize("name", [*STEPS, "materialize", "monitor"])
def test_a_step_of_the_pipeline_has_an_action_of_its_name(name):
    file = name.replace("-", "_")
    assert (ROOT / f"mlops/actions/{file}.py").is_file()
    assert (ROOT / f"mlops/steps/{file}.py").is_file()


@pytest.mark.parametrize("file", PRODUCTS, ids=lambda file: file.name)
def test_a_product_workflow_is_called_as_its_command_whose_page_names_it(file):
    text = file.read_text(encoding="utf-8")
    assert (file.stem in SUMMARIES) != (file.stem in NO_COMMAND_OF_ITS_OWN)
    assert file.stem not in SUMMARIES or f"run: mlops {file.stem}" in text or f"mlops {file.stem} " in text
    guide = (DOCS / "github.md").read_text(encoding="utf-8")
    assert f"\n| `{file.name}` | " in guide
    for command in set(re.findall(r"^ *(?:run: |- run: )?mlops ([a-z-]+)", text, re.MULTILINE)) & set(JUDGING):
        page = (DOCS / f"{command}.md").read_text(encoding="utf-8")
        assert f"[`{file.name}`](github.md#the-workflows)" in page, command


def test_the_guide_to_github_names_every_input_of_a_workflow():
    guide = (DOCS / "github.md").read_text(encoding="utf-8")
    told = rows(guide)
    for file in PRODUCTS:
        call = yaml.safe_load(file.read_text(encoding="utf-8"))[True]["workflow_call"]
        own = [name for name in call["inputs"] if name not in COMMON_INPUTS]
        cells = " ".join(told[file.name])
        assert [name for name in own if f"`{name}`" not in cells] == [], file.name
        assert [name for name in call.get("outputs", {}) if f"`{name}`" not in cells] == [], file.name
    for name in (*COMMON_INPUTS, "tracking-token"):
        assert f"`{name}`" in guide


def test_every_step_of_the_pipeline_is_a_command_or_says_why_not():
    assert set(STEPS) - set(SUMMARIES) == set(NO_COMMAND)


def test_every_command_that_the_documentation_types_exists_with_its_options():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        typed = re.findall(r"^(?:\$ )?mlops (.*)$", "\n".join(fenced(page, "console")), re.MULTILINE)
        typed += re.findall(r"`mlops ([^`\n]+)`", text)
        for line in typed:
            words = line.split("#")[0].split()
            name = next((word for word in words if not word.startswith("-")), "")
            if not name.islower():
                continue  # `mlops …`, or a placeholder
            assert name in {*SUMMARIES, "ui"}, f"{page.name}: mlops {line}"
            called = command_of(name)
            verb = next((word for word in words[1:] if isinstance(called, click.Group) and word in called.commands), "")
            called = called.commands[verb] if isinstance(called, click.Group) and verb else called
            known = {option for p in called.params for option in p.opts} | {"--help", "-h"}
            assert {word for word in words if word.startswith("--")} <= known, f"{page.name}: mlops {line}"


def test_the_make_targets_of_the_documentation_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = {t for page in PAGES for t in re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", page.read_text(), re.MULTILINE)}
    assert {name for pair in typed for name in pair if name} <= targets


# -- settings and checks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", STRUCTS)
def test_every_setting_is_documented_with_its_default(heading):
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    told = rows(text.partition(f"\n## `{heading}`\n")[2].partition("\n## ")[0])
    fields = {field.encode_name: field for field in msgspec.structs.fields(STRUCTS[heading])}
    assert set(told) - {"key", "---"} == set(fields)
    for name, field in fields.items():
        assert told[name][0] in shown(field), f"{heading} {name}"


def shown(field: Any) -> tuple[str, ...]:
    """How a default may be written down."""
    if (
        field.default is msgspec.NODEFAULT
        and isinstance(field.default_factory(), dict)
        and field.name == "environments"
    ):
        return (", ".join(config.ENVIRONMENTS),)
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return ("none",)
    if isinstance(value, msgspec.Struct):
        return ("`{}`",)
    plain = json.dumps(list(value) if isinstance(value, tuple) else value)
    return (f"`{plain}`", f"`{value}`")


@pytest.mark.parametrize("name", known_checks())
def test_every_check_is_listed_with_its_severity_and_reason(name):
    default = known_checks()[name]
    told = rows((DOCS / "gates.md").read_text(encoding="utf-8"))
    line = f"| `{name}` | {default.severity} | {default.why} |"
    assert told.get(name) == [str(default.severity), default.why], f"docs/gates.md lacks the line: {line}"


def test_every_check_that_the_documentation_lists_is_in_the_code():
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "mlops").rglob("*.py"))
    for name in rows((DOCS / "gates.md").read_text(encoding="utf-8")):
        for check in name.replace("`", "").split(", "):
            gate, _, rest = check.partition(".")
            if gate in ("features", "training-set", "train", "package", "service"):
                assert f'"{check}"' in code or f'"{rest}"' in code or f'"{rest.partition(".")[0]}' in code, check


def test_declarations_name_every_metric_and_every_argument():
    import inspect

    from mlops import check, feature_view, model, on_demand

    text = (DOCS / "declarations.md").read_text(encoding="utf-8")
    for name in METRICS:
        assert f"`{name}`" in text
    for decorator in (check, feature_view, model, on_demand):
        for argument in inspect.signature(decorator).parameters:
            assert f"`{argument}`" in text, f"{decorator.__name__}({argument}=)"
    for place in get_args(CheckOn):
        assert f"`{place}`" in text


def test_the_schema_for_editors_is_in_step_with_the_configuration():
    file = importlib.resources.files("mlops") / "config.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(json.dumps(config.pyproject_schema())), (
        "run `make schema`"
    )


# -- snippets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_toml_snippet_is_a_configuration(page, tmp_path):
    for snippet in fenced(page, "toml"):
        tomllib.loads(snippet)
        if "[tool.mlops" in snippet:
            (tmp_path / "pyproject.toml").write_text(snippet)
            load(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_json_snippet_is_json(page):
    for snippet in fenced(page, "json"):
        json.loads(snippet)


def test_the_declarations_of_the_documentation_are_found_and_fit_each_other(project):
    files: dict[str, str] = {"features/__init__.py": "", "models/__init__.py": ""}
    for snippet in fenced(DOCS / "declarations.md", "python"):
        place = re.match(r"# (\S+\.py)\n", snippet)
        assert place, "a snippet begins with its place"
        files[place[1]] = files.get(place[1], "") + snippet
    root = project(files, '[tool.mlops.sources.orders]\npath = "orders.csv"\n')
    catalog = discover(root, load(root))
    assert set(catalog.views) == {"customer_orders_v1"}
    assert set(catalog.on_demands) == {"amount_per_order_v1"}
    assert set(catalog.models) == {"returns_v1"}
    own = {"refuses_nobody", "a_dearer_order_is_not_safer", "the_channel_alone_decides_nothing"}
    assert set(catalog.checks) == own
    assert_own_tests_pass(root)


def assert_own_tests_pass(root: Path) -> None:
    import os
    import subprocess
    import sys

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    search = os.pathsep.join([str(root), str(ROOT)])
    ran = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_the_readme_s_model_trains():
    import pandas as pd

    (snippet,) = fenced(ROOT / "README.md", "python")
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(snippet, "README.md", "exec"), names)
    X = pd.DataFrame({"tenure_months": range(60), "support_calls": [0, 1, 2] * 20})
    fitted = names["churn_v1"](X, pd.Series([0, 1] * 30), {"seed": 1})
    assert len(fitted.predict(X)) == 60


# -- links and manners --------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_is_in_the_index():
    listed = set(re.findall(r"\]\(([a-z-]+\.md)", (DOCS / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} == listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_machine_s_path_or_a_registry(page):
    text = page.read_text(encoding="utf-8")
    machine = r"(?<![\w.])/(?:work|root|tmp|home|Users)/\S*"
    registry = r"https?://\S*/(?:simple|packages)/\S*|--(?:extra-)?index-url\S*"
    found = re.findall(f"{machine}|{registry}", text)
    assert found == []

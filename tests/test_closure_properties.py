"""What must not matter to a key does not, and what must does: asked of programs that hypothesis writes."""

from __future__ import annotations

import ast
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.closure import function_digest


def digest(files, name="view_v1", module="features.shop", folder="project"):
    """The digest of a function in a project of these files, written into a new folder."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / folder
        for file, text in files.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text)
        return function_digest(module, name, root)


@st.composite
def programs(draw):
    """Functions in two modules, each with a constant of its own, that call those before them; the last is asked."""
    count = draw(st.integers(2, 7))
    modules = [draw(st.sampled_from(["shop", "tools"])) for _ in range(count - 1)] + ["shop"]
    calls = [draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set() for place in range(count)]
    return modules, calls, [draw(st.integers(0, 99)) for _ in range(count)]


def written(program):
    modules, calls, constants = program
    files = {"features/__init__.py": ""}
    for module in ("shop", "tools"):
        lines = [f"import features.{other} as {other}" for other in ("shop", "tools") if other != module]
        for place, here in enumerate(modules):
            if here == module:
                name = "view_v1" if place == len(modules) - 1 else f"f{place}"
                called = [f"f{c}(x)" if modules[c] == module else f"{modules[c]}.f{c}(x)" for c in sorted(calls[place])]
                lines += [
                    f"C{place} = {constants[place]}",
                    f"def {name}(x):",
                    f"    return {' + '.join([f'C{place}', *called])}",
                ]
        files[f"features/{module}.py"] = "\n".join(lines) + "\n"
    return files


def reached(calls):
    found, waiting = set(), [len(calls) - 1]
    while waiting:
        place = waiting.pop()
        found.add(place)
        waiting += calls[place] - found
    return found


@settings(max_examples=60, deadline=None)
@given(programs(), st.data())
def test_a_constant_counts_exactly_where_it_is_reached(program, data):
    modules, calls, constants = program
    place = data.draw(st.integers(0, len(modules) - 1))
    edited = (modules, calls, [value + (at == place) for at, value in enumerate(constants)])
    assert (digest(written(program)) != digest(written(edited))) == (place in reached(calls))


@settings(max_examples=40, deadline=None)
@given(programs(), st.integers(0, 3), st.booleans(), st.text("abc xyz", max_size=12))
def test_place_time_formatting_comments_and_docstrings_do_not_count(program, blank, unparsed, folder):
    files = written(program)
    other = {}
    for name, text in files.items():
        shape = ast.unparse(ast.parse(text)) if unparsed else text
        shape = shape.replace("(x):", f"( x ) :  # {folder}\n    'What it gives.'").replace(" + ", "   +   ")
        other[name] = f"# by somebody at {folder}\n" + "\n" * blank + shape + "\n" * blank
    assert digest(files) == digest(other, folder=f"elsewhere {folder.strip()}")


BASE = {
    "features/__init__.py": "",
    "features/tools.py": (
        "RATES = {'a': 1}\nclass Base:\n    share = 1\n    def mean(self):\n        return self.share\n"
    ),
}
COUNTS = {
    "a base class in another module": (
        "from features.tools import Base\nclass Mine(Base):\n    pass\ndef view_v1(x):\n    return Mine().mean()\n",
        ("features/tools.py", "return self.share", "return self.share + 1"),
    ),
    "a class's attribute": (
        "from features import tools\ndef view_v1(x):\n    return tools.Base().mean()\n",
        ("features/tools.py", "share = 1", "share = 2"),
    ),
    "a module's value under another name": (
        "from features.tools import RATES as rates\ndef view_v1(x):\n    return rates['a']\n",
        ("features/tools.py", "{'a': 1}", "{'a': 2}"),
    ),
    "a default argument": (
        "WIDTH = 3\ndef view_v1(x, width=WIDTH):\n    return x + width\n",
        ("features/shop.py", "WIDTH = 3", "WIDTH = 4"),
    ),
    "a decorator": (
        "def twice(f):\n    return lambda x: 2 * f(x)\n@twice\ndef view_v1(x):\n    return x\n",
        ("features/shop.py", "2 * f", "3 * f"),
    ),
    "what is put into a table later": (
        "T = {}\nT.update(a=1)\ndef view_v1(x):\n    return T['a']\n",
        ("features/shop.py", "a=1", "a=2"),
    ),
    "what a loop puts into a table": (
        "T = {}\nfor k in (1, 2):\n    T[k] = k\ndef view_v1(x):\n    return T\n",
        ("features/shop.py", "(1, 2)", "(1, 3)"),
    ),
    "the condition under which a value is chosen": (
        "import os\nif os.sep == '/':\n    W = 1\nelse:\n    W = 2\ndef view_v1(x):\n    return W\n",
        ("features/shop.py", "== '/'", "!= '/'"),
    ),
    "a library's option": (
        "import pandas as pd\npd.set_option('mode.x', 1)\ndef view_v1(x):\n    return x\n",
        ("features/shop.py", "'mode.x', 1", "'mode.x', 2"),
    ),
    "a helper that is passed on": (
        "def half(v):\n    return v / 2\ndef view_v1(x):\n    return x.map(half)\n",
        ("features/shop.py", "v / 2", "v / 4"),
    ),
}
DOES_NOT = {
    "what runs only as a script": (
        "def view_v1(x):\n    return x\nif __name__ == '__main__':\n    print(view_v1(1))\n",
        ("features/shop.py", "print(view_v1(1))", "print(view_v1(2))"),
    ),
    "an import for types alone": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\ndef view_v1(x):\n    return x\n",
        ("features/shop.py", "import numpy", "import pandas"),
    ),
    "the module's docstring": ('"""Old."""\ndef view_v1(x):\n    return x\n', ("features/shop.py", "Old.", "New.")),
    "a table that is not read": (
        "T = {}\nT.update(a=1)\ndef view_v1(x):\n    return x\n",
        ("features/shop.py", "a=1", "a=2"),
    ),
}


def both(case):
    text, (file, old, new) = case
    files = {**BASE, "features/shop.py": text}
    assert files[file].count(old) == 1
    return digest(files), digest({**files, file: files[file].replace(old, new)})


@pytest.mark.parametrize("what", COUNTS)
def test_it_counts(what):
    before, after = both(COUNTS[what])
    assert before != after


@pytest.mark.parametrize("what", DOES_NOT)
def test_it_does_not_count(what):
    before, after = both(DOES_NOT[what])
    assert before == after


def test_when_a_file_was_written_does_not_count(tmp_path):
    for file, text in {**BASE, "features/shop.py": "def view_v1(x):\n    return x\n"}.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    first = function_digest("features.shop", "view_v1", tmp_path)
    os.utime(tmp_path / "features" / "shop.py", (1, 1))
    assert function_digest("features.shop", "view_v1", tmp_path) == first

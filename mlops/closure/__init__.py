"""The code that a declared function runs, inside the repository: its closure, and the closure's digest.

By syntax tree, so comments, formatting and docstrings do not count; function by function, so an edit of
one feature leaves its neighbours in the same file as they are.
"""

from mlops.closure.counted import syntax_digest
from mlops.closure.imports import imported_files, imported_outside
from mlops.closure.meanings import meaning
from mlops.closure.modules import module_of
from mlops.closure.reached import (
    Definition,
    code_digest,
    code_files,
    definitions,
    function_digest,
    listed,
    outside,
    traced,
)

__all__ = [
    "Definition",
    "code_digest",
    "code_files",
    "definitions",
    "function_digest",
    "imported_files",
    "imported_outside",
    "listed",
    "meaning",
    "module_of",
    "outside",
    "syntax_digest",
    "traced",
]

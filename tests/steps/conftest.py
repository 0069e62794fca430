"""One process of deepchecks for all tests of steps: its imports take seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlops.adapters.deepchecks import Deepchecks


@pytest.fixture(scope="session")
def deepchecks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deepchecks]:
    """A running process; it may be used by any number of tests."""
    with Deepchecks(tmp_path_factory.mktemp("deepchecks")) as process:
        yield process

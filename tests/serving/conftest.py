"""Releases that the tests of this folder share; a test that changes one makes its own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.serving.releases import contract, make_release, publish_customers


class Made(NamedTuple):
    releases: Path
    first: str
    second: str
    plain: str
    online: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Two releases that answer differently, one without stored or computed features, and an online store."""
    releases = tmp_path_factory.mktemp("shop") / "releases"
    releases.mkdir()
    online = releases.parent / "online.sqlite"
    publish_customers(online)
    return Made(
        releases,
        make_release(releases),
        make_release(releases, contract("fraud_v2"), factor=3.0),
        make_release(releases, contract("plain_v1", computed=False, stored=False)),
        online,
    )

"""Where a service reads an environment's stored features: the embedded file, or a small file that names Feast.

The service imports this, so it stays free of pandas, DuckDB and Feast until an environment names Feast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from mlops.adapters.files import disk_errors, write_atomically
from mlops.contract import Contract
from mlops.errors import OutsideError
from mlops.stores import online
from mlops.stores.online import OnlineReader, Published
from mlops.stores.protocol import EXPIRED, MISSING

if TYPE_CHECKING:
    from mlops.adapters.feast import Feast, Registered
    from mlops.adapters.feast_server import FeatureServer

Kind = Literal["int", "float", "bool", "string"]
Rows = list[tuple[int, Mapping[str, Any]] | None]
"""For each entity the time of its row in microseconds since 1970, and its values; None where there is none."""

_INT64 = 2**63

FEAST = "online.json"
"""The file in an environment's folder that says where Feast holds its features."""


class Address(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an environment's features are read out of Feast: by the repository's own file, or from its feature server."""

    repository: str  # feature_store.yaml
    server: str = ""  # such as http://127.0.0.1:6566; "": by Feast's SDK, in the service's own process
    seconds: float = 1.0  # for the server to answer


class Reader(Protocol):
    """Reads the newest features of entities; one instance serves all threads."""

    slow: bool
    """Whether one read takes so long that it must not be done in the event loop."""

    def read(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """One mapping of feature to value for each key, in the order of the keys; MISSING or EXPIRED where none is."""
        ...


def open_reader(place: Path, contract: Contract) -> Reader:
    """What reads the stored features of `contract` at `place`, the file of an environment; nothing is read yet."""
    if place.suffix != Path(FEAST).suffix:
        return OnlineReader(place)
    address = read_address(place)
    if not address.server:
        return SdkReader(Path(address.repository), contract)
    from mlops.adapters.feast_server import FeatureServer

    return ServerReader(FeatureServer(address.server, address.seconds), contract)


def published(place: Path) -> tuple[Published, ...]:
    """What an environment holds online, by view."""
    if place.suffix != Path(FEAST).suffix:
        return online.published(place)
    if not place.exists():
        return ()
    from mlops.adapters.feast import open_feast
    from mlops.stores.feast import published as in_feast

    return in_feast(open_feast(Path(read_address(place).repository)))


def expired(place: Path, view: str, now: float) -> int | None:
    """How many entities of a view are past their time to live; None where only a read of each could tell."""
    return online.expired(place, view, now) if place.suffix != Path(FEAST).suffix else None


def write_address(place: Path, address: Address) -> None:
    """Say at `place` where features are read; replaced as a whole."""
    write_atomically(place, msgspec.json.format(msgspec.json.encode(address)))


def read_address(place: Path) -> Address:
    """What the file at `place` says; OutsideError where it cannot be read."""
    try:
        with disk_errors(place):
            return msgspec.json.decode(place.read_bytes(), type=Address)
    except msgspec.DecodeError as error:
        raise OutsideError(
            f"{place} does not say where features are read: {error}", next_step="deploy again, which writes it"
        ) from error


class SdkReader:
    """Reads by Feast's SDK, with the repository's own settings and time limits."""

    slow = True

    def __init__(self, repository: Path, contract: Contract) -> None:
        from mlops.adapters.feast import open_feast

        self._feast: Feast = open_feast(repository)
        self._wanted = _wanted(contract)
        self._known: dict[str, Registered] = {}

    def read(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """See Reader; the registry is asked once for each view, whose version never changes."""
        known = self._known.get(view) or self._feast.known(view)
        if known is None:
            raise OutsideError(
                f"{self._feast.file} has no feature view {view}",
                next_step="deploy the release again, which publishes it",
            )
        self._known[view] = known

        def rows(some: list[int | str]) -> Rows:
            return self._feast.read(view, known.entity, self._wanted[view].columns, some)

        return fresh([key(one, known.entity_kind) for one in keys], rows, self._wanted[view].ttl, now)


class ServerReader:
    """Reads from Feast's feature server over HTTP."""

    slow = True

    def __init__(self, server: FeatureServer, contract: Contract) -> None:
        self._server = server
        self._wanted = _wanted(contract)

    def read(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """See Reader."""
        wanted = self._wanted[view]

        def rows(some: list[int | str]) -> Rows:
            return self._server.read(view, wanted.entity, wanted.columns, some)

        return fresh([key(one, wanted.kind) for one in keys], rows, wanted.ttl, now)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a contract reads of one view; `ttl` in microseconds."""

    entity: str
    kind: Kind
    columns: tuple[str, ...]
    ttl: int | None


def _wanted(contract: Contract) -> dict[str, _Wanted]:
    texts = {field.name for field in contract.fields if field.kind == "string"}
    found = {}
    for view in dict.fromkeys(one.view for one in contract.stored):
        stored = [one for one in contract.stored if one.view == view]
        seconds, entity = stored[0].ttl_seconds, stored[0].entity
        found[view] = _Wanted(
            entity=entity,
            kind="string" if entity in texts else "int",
            columns=tuple(one.column for one in stored),
            ttl=None if seconds is None else round(seconds * 1e6),
        )
    return found


def key(value: Any, kind: str) -> int | str | None:
    """A request's key as Feast takes it; None for one that cannot be in the store, such as "1" among numbers."""
    if kind == "string":
        return value if isinstance(value, str) else None
    if isinstance(value, bool | str) or value is None:
        return None
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return whole if whole == value and -_INT64 <= whole < _INT64 else None


def fresh(
    keys: Sequence[int | str | None], read: Callable[[list[int | str]], Rows], ttl: int | None, now: float
) -> list[Mapping[str, Any]]:
    """For each key its values, EXPIRED where they are past `ttl` (microseconds), MISSING where there are none."""
    asked = list(dict.fromkeys(one for one in keys if one is not None))
    found = dict(zip(asked, read(asked), strict=True)) if asked else {}
    oldest = None if ttl is None else round(now * 1e6) - ttl
    answer: list[Mapping[str, Any]] = []
    for one in keys:
        row = found.get(one) if one is not None else None
        if row is None:
            answer.append(MISSING)
        else:
            answer.append(EXPIRED if oldest is not None and row[0] < oldest else row[1])
    return answer

"""Feast's feature server over HTTP: the newest rows of entities, on connections that are kept open."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops.errors import OutsideError

if TYPE_CHECKING:
    import requests


class FeatureServer:
    """What `feast serve` answers at `address`; one instance serves all threads, each on a connection of its own."""

    def __init__(self, address: str, seconds: float) -> None:
        self.address = address.rstrip("/")
        self._seconds = seconds
        self._own = threading.local()

    def read(
        self, view: str, entity: str, columns: Sequence[str], keys: Sequence[int | str]
    ) -> list[tuple[int, Mapping[str, Any]] | None]:
        """Each entity's newest row online, by its time in microseconds since 1970; None where there is none."""
        asked = {"features": [f"{view}:{column}" for column in columns], "entities": {entity: list(keys)}}
        answer = self._asked(asked)
        try:
            place = {name: at for at, name in enumerate(answer["metadata"]["feature_names"])}
            vectors = [answer["results"][place[column]] for column in columns]
            times = [_microseconds(text) for text in vectors[0]["event_timestamps"]]
            lists = [vector["values"] for vector in vectors]
            return [
                (time, {column: values[at] for column, values in zip(columns, lists, strict=True)}) if time else None
                for at, time in enumerate(times)
            ]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise OutsideError(
                f"the feature server at {self.address} answered in a form that is not Feast's: {error!r}",
                next_step="see that it is `feast serve` of a version that mlops supports",
            ) from error

    def _asked(self, body: Mapping[str, Any]) -> Any:
        import requests

        url = f"{self.address}/get-online-features"
        try:
            response = self._session().post(url, json=body, timeout=self._seconds)
        except requests.Timeout as error:
            raise OutsideError(
                f"the feature server did not answer within {self._seconds:g} seconds: {url}",
                next_step="look at its load, or raise seconds in [tool.mlops.store]",
            ) from error
        except requests.RequestException as error:
            raise OutsideError(
                f"the feature server cannot be reached: {url}: {error}", next_step="start it: `feast serve`"
            ) from error
        if response.status_code != requests.codes.ok:
            raise OutsideError(
                f"the feature server answered {response.status_code} for {', '.join(body['features'])}: "
                f"{response.text.strip()[:500]}",
                next_step="see that it serves the repository that the release was deployed to, and its log",
            )
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise OutsideError(f"{url} did not answer JSON: {error}", next_step="see what runs there") from error

    def _session(self) -> requests.Session:
        import requests

        session = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
            session.trust_env = False  # a proxy between a service and its features is written into the address
        return session


def _microseconds(text: str) -> int:
    """The whole microseconds of a time in ISO 8601, which Feast writes with up to nine digits of a second."""
    seconds, _, rest = text.removesuffix("Z").partition(".")
    whole = datetime.fromisoformat(f"{seconds}+00:00")
    return int(whole.timestamp()) * 1_000_000 + int(rest[:6].ljust(6, "0") or 0)

"""What a service that runs elsewhere says of itself."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlops.errors import OutsideError

_TIMEOUT = (3.0, 5.0)  # seconds to connect, and between two bytes
_MOST = 1 << 16  # bytes of an answer that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """The answer to /readyz: its status, and the release that it names; "" where it names none."""

    status: int
    release: str = ""


def word(url: str) -> Word:
    """What `url`/readyz answers; OutsideError where nothing does, twice. It is asked without a token."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    address = f"{url.rstrip('/')}/readyz"
    again = HTTPAdapter(max_retries=Retry(total=1, backoff_factor=0.5, raise_on_status=False))
    with requests.Session() as session:
        session.mount("https://", again)
        session.mount("http://", again)
        try:
            with session.get(address, timeout=_TIMEOUT, stream=True) as answer:
                body = answer.raw.read(_MOST, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise OutsideError(
                f"{address} does not answer ({type(error).__name__})",
                next_step="look whether the service runs, and whether this machine may reach it",
            ) from error
    return Word(status=answer.status_code, release=_release(body))


def may_bear_a_token(url: str) -> bool:
    """Whether a token may travel there: by TLS, or on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _release(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:  # somebody else's readiness
        return ""
    found = said.get("release") if isinstance(said, dict) else None
    return found if isinstance(found, str) else ""

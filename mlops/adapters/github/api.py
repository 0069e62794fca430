"""GitHub's API: retries, rate limits, pages, and errors that say which permission is missing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops.adapters.files import replacing
from mlops.adapters.github.event import Event, current
from mlops.errors import NotFound, NotPermitted, OutsideError

if TYPE_CHECKING:
    import requests
    import urllib3

VERSION = "2022-11-28"
PATIENCE = 60.0
"""Seconds that a request waits at most where GitHub says how long; beyond that it is an error with the time."""

_TIMEOUT = (5.0, 30.0)  # to connect, and between two bytes
_PAGE = 100
_MOST_PAGES = 30
_LIMITED = (403, 429)


class GitHub:
    """One repository, asked with one token; a context manager that closes its connections.

    `retries` and the seconds of `timeout` are small where nobody may be kept waiting, as in a rollback.
    """

    def __init__(self, event: Event, token: str, *, retries: int = 4, timeout: tuple[float, float] = _TIMEOUT) -> None:
        self.event = event
        self._timeout = timeout
        self._session = _session(token, retries)

    def __enter__(self) -> Self:
        """Ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, path: str, *, needs: str, **query: str | int) -> Any:
        """What is at `path` of the repository, as JSON values."""
        return self._asked("GET", self._url(path), needs, params=query).json()

    def pages(self, path: str, *, needs: str, inside: str = "", **query: str | int) -> Iterator[Any]:
        """The entries of a list, page by page; `inside` names the field that holds them."""
        url, params = self._url(path), {"per_page": _PAGE, **query}
        for _ in range(_MOST_PAGES):
            answer = self._asked("GET", url, needs, params=params)
            whole = answer.json()
            yield from whole[inside] if inside else whole
            following = answer.links.get("next", {}).get("url")
            if not following or not str(following).startswith(f"{self.event.api}/"):
                return
            url, params = str(following), {}

    def send(self, method: str, path: str, *, needs: str, body: Mapping[str, Any]) -> Any:
        """What GitHub answers to POST, PUT or PATCH; None where that is nothing."""
        answer = self._asked(method, self._url(path), needs, json=dict(body))
        return answer.json() if answer.content else None

    def me(self) -> str:
        """The login of the token's person; "" for a token of Actions or of an app, which is nobody."""
        answer = self._session.get(f"{self.event.api}/user", timeout=self._timeout)
        return str(answer.json().get("login", "")) if answer.status_code == 200 else ""

    def download(self, path: str, into: Path, *, needs: str, most: int) -> None:
        """Put a file at `into`, whole or not at all; OutsideError beyond `most` bytes."""
        import requests

        answer = self._asked("GET", self._url(path), needs, stream=True)
        with answer, replacing(into) as temporary, temporary.open("wb") as out:
            try:
                for chunk in answer.iter_content(1 << 16):
                    out.write(chunk)
                    if out.tell() > most:
                        raise OutsideError(
                            f"{path} has more than {most >> 20} MB", next_step="compute it anew: leave the download out"
                        )
            except requests.RequestException as error:
                raise _unreachable(self.event.api, error) from None

    def _url(self, path: str) -> str:
        return f"{self.event.api}/repos/{self.event.repository}{path}"

    def _asked(self, method: str, url: str, needs: str, **more: Any) -> requests.Response:
        """The answer to a request; an answer of 4xx or 5xx is an error that says what to do."""
        import requests

        for again in (True, False):
            try:
                answer = self._session.request(method, url, timeout=self._timeout, **more)
            except requests.RequestException as error:
                raise _unreachable(self.event.api, error) from None
            if answer.ok:
                return answer
            seconds = _seconds_to_wait(answer)
            if seconds is None:
                break
            if not again or seconds > PATIENCE:
                raise _limited(seconds)
            answer.close()
            time.sleep(seconds)
        raise _refused(answer, needs)


def client(
    event: Event | None = None, *, hurried: bool = False, environ: Mapping[str, str] = os.environ
) -> GitHub | None:
    """GitHub as this job may ask it; None outside of Actions, or where the job was given no token.

    `hurried` is for who must not be kept waiting: one try of three seconds.
    """
    event = event or current(environ)
    token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or ""
    if event is None or not token or not event.repository:
        return None
    return GitHub(event, token, retries=0, timeout=(3.0, 3.0)) if hurried else GitHub(event, token)


def _session(token: str, retries: int) -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter

    from mlops import __version__

    session = requests.Session()
    session.headers.update(
        {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": VERSION,
            "User-Agent": f"mlops/{__version__}",
        }
    )
    session.auth = _bearer(token)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=_retries(retries)))
    return session


def _bearer(token: str) -> Any:
    """Puts the token into a request; as `auth` it outdoes a .netrc, and does not follow to another host."""

    def put(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return put


def _retries(total: int) -> urllib3.Retry:
    """What is asked again: whatever did not reach GitHub, and what may be done twice where GitHub was in trouble."""
    from urllib3 import Retry

    # A POST that GitHub broke off may have been done: a second comment is worse than an error. A limit that was
    # reached is not among these: how long it lasts is known, and is waited for in one place.
    return Retry(
        total=total,
        connect=total,
        read=total,
        backoff_factor=0.5,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods={"GET", "PUT", "PATCH", "DELETE"},
        respect_retry_after_header=False,
        raise_on_status=False,
    )


def _seconds_to_wait(answer: requests.Response) -> float | None:
    """How long GitHub asks to wait, by `Retry-After` or the moment at which the limit ends; None: it does not."""
    if answer.status_code not in _LIMITED:
        return None
    after = answer.headers.get("Retry-After", "")
    if after.isdigit():
        return float(after)
    reset = answer.headers.get("X-RateLimit-Reset", "")
    if answer.headers.get("X-RateLimit-Remaining") == "0" and reset.isdigit():
        return max(0.0, int(reset) - time.time()) + 1.0
    return 60.0 if answer.status_code == 429 else None


def _limited(seconds: float) -> OutsideError:
    at = datetime.fromtimestamp(time.time() + seconds, UTC)
    return OutsideError(
        f"GitHub's rate limit is used up until {at:%H:%M:%S} UTC",
        next_step="run the job again then; a token of a GitHub App has a limit of its own",
    )


def _unreachable(api: str, error: Exception) -> OutsideError:
    return OutsideError(
        f"{api} does not answer ({type(error).__name__})",
        next_step="see https://www.githubstatus.com, and run it again",
    )


def _refused(answer: requests.Response, needs: str) -> OutsideError:
    said = _said(answer)
    what = f"{answer.request.method} {answer.request.path_url.partition('?')[0]}"
    if answer.status_code == 401:
        return OutsideError(
            f"GitHub does not accept the token: {said}",
            next_step="give the step `env: GITHUB_TOKEN: ${{ github.token }}`, or renew your own token",
        )
    if answer.status_code == 403:
        wanted = _permission(answer) or needs
        return NotPermitted(
            f"the token may not do this: {what}: {said}", permission=wanted, next_step=_grant(wanted, said)
        )
    if answer.status_code == 404:
        return NotFound(
            f"there is no such thing, or the token cannot see it: {what}",
            next_step=f"check the name, and that the job has `permissions: {needs}`",
        )
    return OutsideError(
        f"GitHub answered {answer.status_code} to {what}: {said}", next_step="see the message; then run it again"
    )


def _grant(permission: str, said: str) -> str:
    if "create or approve pull requests" in said:
        return "allow it: Settings, Actions, General, “Allow GitHub Actions to create and approve pull requests”"
    return f"write into the job's `permissions:` the line `{permission}`"


def _permission(answer: requests.Response) -> str:
    """The permission that GitHub itself names, as a workflow writes it: `pull-requests: write`."""
    first = answer.headers.get("X-Accepted-GitHub-Permissions", "").partition(";")[0].partition(",")[0].strip()
    name, _, access = first.partition("=")
    return f"{name.replace('_', '-')}: {access}" if name and access else ""


def _said(answer: requests.Response) -> str:
    """GitHub's own words, on one line."""
    try:
        whole = answer.json()
        errors = [str(e.get("message") or e) if isinstance(e, dict) else str(e) for e in whole.get("errors") or []]
        text = " ".join([str(whole.get("message", "")), *errors])
    except (ValueError, AttributeError):
        text = answer.reason or "nothing that can be read"
    return " ".join(text.split())[:500]

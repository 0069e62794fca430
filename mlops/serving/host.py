"""The releases that one worker holds: the live one, and the one it would be rolled back to, warm beside it.

Under `mlops serve` a host follows the environment's pointer: a new release is verified, loaded and asked
its golden requests while the old one goes on answering; then one reference is swapped. No socket is
touched, so no request fails. A release that fails its self-check never gets a request.
A canary and a shadow are loaded beside them, out of the way of the live one: `serving.trying`.
In a bento that runs alone there is no pointer, and the host holds the bento's own release.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from mlops.errors import DeploymentFailed, MlopsError
from mlops.release import MANIFEST, PAYLOAD
from mlops.serving.decisions import FOLDER_VARIABLE, Arm, DecisionLog, Tell, settings
from mlops.serving.integrity import read_manifest
from mlops.serving.packages import SHARED_VARIABLE, lacking, packages
from mlops.serving.pointer import POINTER, Ack, Pointer, being_a_worker, read_pointer, write_ack
from mlops.serving.runtime import Decided, LoadedRelease, load_payload, load_release
from mlops.serving.trying import Trying

POINTER_VARIABLE, RELEASES_VARIABLE = "MLOPS_POINTER", "MLOPS_RELEASES"
PAYLOAD_VARIABLE, ONLINE_VARIABLE = "MLOPS_RELEASE", "MLOPS_ONLINE"
NAME_VARIABLE = "MLOPS_RELEASE_NAME"  # of a bento that runs alone, where no manifest lies beside it

_LOOK_EVERY = 0.05  # seconds; one `stat` costs microseconds
_KEEP_WARM = 2  # releases beside the live one
_CANARY_SECONDS = 10.0  # that a worker which begins waits for the canary
_logger = logging.getLogger("mlops.serving")


class Host:
    """What the service asks for its release: `live` answers, `ready` says whether it passed its golden requests.

    This one holds the release of a bento that runs alone.
    """

    def __init__(
        self, payload: Path, online: Path | None, name: str = "", *, decisions: DecisionLog | None = None
    ) -> None:
        self._name = name
        self._decisions = decisions
        self._payload = payload
        self._online = online
        self._live: LoadedRelease | None = None

    @property
    def live(self) -> LoadedRelease:
        """The release that answers; DeploymentFailed before `load`."""
        if self._live is None:
            raise DeploymentFailed("no release is loaded yet", next_step="wait until /readyz answers 200")
        return self._live

    @property
    def ready(self) -> bool:
        """Whether a release has answered its golden requests here."""
        return self._live is not None

    def chosen(self, body: bytes, request_id: str) -> LoadedRelease:  # noqa: ARG002 - who follows a pointer reads them
        """The release that is to answer this request."""
        return self.live

    def note(self, release: LoadedRelease, status: int, seconds: float, *, finite: bool = True) -> None:
        """Hear how a request to a release ended; `finite` is False where its model gave no finite number."""

    def told(self, release: LoadedRelease, body: bytes, decided: Decided, request_id: str) -> None:  # noqa: ARG002
        """Hear what a release answers, before `note` hears how that ended."""
        self.log(release, "live", request_id, decided)

    def log(self, release: LoadedRelease, arm: Arm, request_id: str, decided: Decided) -> None:
        """Put what was answered into the decision log, where there is one."""
        if self._decisions is not None:
            self._decisions.add(release, arm, request_id, decided)

    def tell_decisions(self, tell: Tell) -> None:
        """Whom the decision log tells how many decisions it has written and dropped."""
        if self._decisions is not None:
            self._decisions.tell = tell

    def load(self) -> None:
        """Load and self-check the release that is to serve; raises what stands in the way."""
        self._load()
        if self._decisions is not None:
            self._decisions.start()
        else:
            _logger.warning("decisions are not logged: %s names no folder", FOLDER_VARIABLE)

    def _load(self) -> None:
        # The manifest lies beside the bento where it was made; a container holds the bento only.
        source = self._payload.parent
        folder = source.parent.parent
        beside = folder / PAYLOAD == self._payload and (folder / MANIFEST).exists()
        release = read_manifest(folder).release if beside else self._name
        self._live = load_payload(self._payload, source, release=release, online=self._online)
        self._live.release = release or self._live.contract.model

    def watch(self) -> None:
        """Nothing to follow."""

    async def leave(self) -> None:
        """Follow no more, and be counted no more, while the last requests are answered."""

    async def stop(self) -> None:
        """End in order: what was decided is written."""
        if self._decisions is not None:
            await asyncio.to_thread(self._decisions.stop)


class FollowingHost(Host):
    """Holds the releases that an environment's pointer names, and follows it from `watch` to `leave`.

    A release that was judged with other packages than this process has is none of its matter: another crew of
    workers takes over, and until then this one goes on with what it has. `shared` makes it host every release.
    """

    def __init__(
        self,
        pointer: Path,
        releases: Path,
        online: Path | None,
        *,
        decisions: DecisionLog | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__(pointer, online, decisions=decisions)
        self._shared = shared
        self._others: dict[str, tuple[str, ...]] = {}
        self._pointer = pointer
        self._releases = releases
        self._warm: dict[str, LoadedRelease] = {}
        self._followed: Pointer | None = None
        self._watch: asyncio.Task[None] | None = None
        self._exits = contextlib.ExitStack()
        self._error = ""
        self._trying = Trying(pointer, lambda release: load_release(releases, release, online), self.log)

    def chosen(self, body: bytes, request_id: str) -> LoadedRelease:
        """The live release, or the canary for its share of the entities."""
        return self._trying.chosen(self.live, body, request_id) if self._trying.canary is not None else self.live

    def note(self, release: LoadedRelease, status: int, seconds: float, *, finite: bool = True) -> None:
        """Count the request while a canary is on."""
        if self._trying.canary is not None:
            self._trying.note(release, status, seconds, finite=finite)

    def told(self, release: LoadedRelease, body: bytes, decided: Decided, request_id: str) -> None:
        """Count the prediction while a canary is on, and let the shadow be asked too."""
        self.log(release, "canary" if release is self._trying.canary else "live", request_id, decided)
        if self._trying.busy:
            self._trying.told(release, body, decided, request_id)

    def _load(self) -> None:
        self._exits.enter_context(being_a_worker(self._pointer))
        pointer: Pointer | None = self._first()
        # Loading takes seconds. Who moves the pointer meanwhile waits for workers that have acknowledged, and this one
        # has not: so it looks again once it has, and never begins with a release that was rolled back meanwhile.
        while pointer is not None:
            self._warm[pointer.live] = self._have(pointer.live)
            self._trying.await_canary(pointer, _CANARY_SECONDS)
            self._follow(pointer)
            now = read_pointer(self._pointer)
            pointer = None if now is None or now == pointer or self._lacking(now.live) else now

    def _first(self) -> Pointer:
        """What the pointer names; DeploymentFailed where this worker cannot begin with it."""
        pointer = read_pointer(self._pointer)
        if pointer is None:
            raise DeploymentFailed(
                f"nothing is live in {self._pointer}", next_step="deploy a release: `mlops deploy ENV`"
            )
        other = self._lacking(pointer.live)
        if other:
            raise DeploymentFailed(
                f"{pointer.live} was judged with {other[0]}",
                next_step="serve it by `mlops serve`, which makes an environment for it",
            )
        return pointer

    def watch(self) -> None:
        """Follow the pointer from now on, in the running event loop."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._keep_looking())

    async def leave(self) -> None:
        """Follow no more, and be counted no more, while the last requests are answered."""
        await self._end_watch()
        self._exits.close()

    async def stop(self) -> None:
        """End the watch, and the log."""
        await self._end_watch()
        await super().stop()
        self._exits.close()

    async def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        self._trying.stop()

    async def _keep_looking(self) -> None:
        looked: tuple[int, int] | None = None  # so the first look warms up the previous release
        while True:
            stamp = self._stamp()
            if stamp != looked:
                looked = stamp
                try:
                    await asyncio.to_thread(self._take_over)
                except Exception:
                    # A watch that dies would leave the worker deaf to a rollback, so it logs and goes on.
                    _logger.exception("could not follow %s", self._pointer)
            if self._followed is not None and await self._trying.follow(self._followed):
                await asyncio.to_thread(self._acknowledge, self._followed)
            await asyncio.sleep(_LOOK_EVERY)

    def _take_over(self) -> None:
        pointer = read_pointer(self._pointer)
        if pointer is not None:
            if pointer != self._followed:
                self._follow(pointer)
            self._warm_up(pointer)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = (self._pointer / POINTER).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _follow(self, pointer: Pointer) -> None:
        """Serve what the pointer names, or say why not and go on serving the old one."""
        self._followed = pointer
        given_up = self._trying.turn(pointer)
        self._warm |= {one.release: one for one in given_up}
        other = self._lacking(pointer.live)
        if other:  # and no acknowledgement: who waits for this generation waits for the other workers
            _logger.info("%s was judged with %s: other workers take over", pointer.live, ", ".join(other))
            return
        try:
            chosen = self._have(pointer.live)
        except MlopsError as error:
            _logger.exception("%s is not taken over", pointer.live)
            self._error = error.message
            self._acknowledge(pointer)
            return
        self._error = ""
        old, self._live = self._live, chosen
        self._warm.pop(chosen.release, None)
        if old is not None and old is not chosen:
            self._warm[old.release] = old
        self._acknowledge(pointer)

    def _warm_up(self, pointer: Pointer) -> None:
        """Hold the previous release ready for a rollback, and let go of those beyond."""
        if pointer.previous is None or self.live.release != pointer.live or self._lacking(pointer.previous):
            return
        try:
            previous = self._have(pointer.previous)
        except MlopsError as error:
            _logger.warning("%s cannot be kept warm: %s", pointer.previous, error.message)
            return
        if previous is not self._live:
            self._warm.pop(previous.release, None)
            self._warm[previous.release] = previous
        while len(self._warm) > _KEEP_WARM:
            self._warm.pop(next(iter(self._warm))).close()
        self._acknowledge(pointer)

    def _have(self, release: str) -> LoadedRelease:
        if self._live is not None and self._live.release == release:
            return self._live
        if release in self._warm:
            return self._warm[release]
        return load_release(self._releases, release, self._online)

    def _lacking(self, release: str) -> tuple[str, ...]:
        """What the release was judged with and this process has otherwise."""
        if self._shared:
            return ()
        if release not in self._others:
            self._others[release] = lacking(packages(self._releases / release))
        return self._others[release]

    def _acknowledge(self, pointer: Pointer) -> None:
        serving = self._live.release if self._live else ""
        ack = Ack(
            pid=os.getpid(),
            generation=pointer.generation,
            serving=serving,
            ok=not self._error,
            error=self._error,
            warm=tuple(self._warm),
            trying=self._trying.held,
            refused=self._trying.refused,
        )
        write_ack(self._pointer, ack)


def host(variables: Mapping[str, str], working_directory: Path) -> Host:
    """The host that the environment's variables ask for; a bento alone has its release in `release/`."""
    online = Path(variables[ONLINE_VARIABLE]) if variables.get(ONLINE_VARIABLE) else None
    wanted = settings(variables)
    decisions = DecisionLog(wanted) if wanted is not None else None
    pointer = variables.get(POINTER_VARIABLE)
    if pointer:
        shared, releases = bool(variables.get(SHARED_VARIABLE)), Path(variables[RELEASES_VARIABLE])
        return FollowingHost(Path(pointer), releases, online, decisions=decisions, shared=shared)
    payload = Path(variables.get(PAYLOAD_VARIABLE) or working_directory / "release")
    return Host(payload, online, variables.get(NAME_VARIABLE, ""), decisions=decisions)

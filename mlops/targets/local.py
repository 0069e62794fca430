"""This machine as a target: a pointer file names the live release, and running workers follow it.

Where a server runs, each worker must acknowledge and the server must be ready, else the pointer goes back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mlops.adapters import bentoserver, commands
from mlops.errors import DeploymentFailed
from mlops.serving.packages import python_for
from mlops.serving.pointer import Ack, Pointer, read_acks, read_pointer, write_pointer
from mlops.targets.kept import KeptTarget
from mlops.targets.protocol import Health, Moved, Order, Prepare
from mlops.targets.servers import Server, read_server

_LOOK_EVERY = 0.02  # seconds
_BACK_SECONDS = 10.0  # for the workers to return to the old release


@dataclass(frozen=True)
class LocalTarget(KeptTarget):
    """An environment on this machine; workers may take `patience` seconds to take a release over."""

    patience: float = 60.0
    rehearses: bool = True
    shared: bool = False  # whether every release is hosted with the packages of the server

    def move(self, order: Order, *, prepare: Prepare | None = None) -> Moved:
        """Bring the release live, as any target does.

        An environment that it needs is made first: that may take minutes, in which nobody else's order has to wait.
        """
        if not self.holds(order.family, order.release):
            old = read_pointer(self.folder / order.family)
            with self._failures_kept(order, old, time.monotonic()):
                self.verified(order.release)
                self.python_for(order.release)
        return super().move(order, prepare=prepare)

    def python_for(self, release: str) -> Path:
        """The interpreter that is to host a release, made where there is none; DeploymentFailed where it cannot be."""
        return python_for(self.releases, release, shared=self.shared)

    def rehearse(self, family: Path, release: str) -> None:
        """Raise DeploymentFailed where a release that no worker holds yet does not load in a process of its own.

        So code that ends its process, or never ends itself, does so out of the workers' way. It has the packages that
        the release was judged with.
        """
        python = self.python_for(release)
        if not read_acks(family) or not self.rehearses or self.holds(family.name, release):
            return
        words = [str(python), "-P", "-m", "mlops.serving.rehearse", str(self.releases), release, str(self.online)]
        ended = commands.run(words, folder=self.folder, variables={}, seconds=self.patience)
        if not ended.done:
            how = f"not within {self.patience:g} seconds" if ended.code is None else f"it ended with code {ended.code}"
            last = ended.said.strip().splitlines()
            raise DeploymentFailed(
                f"{release} does not load: {last[-1] if last else how}; the workers go on as before",
                next_step="mend the release (`mlops check-service` boots it alone), then deploy again",
            )

    def demand_shared(self, live: str, release: str) -> None:
        """DeploymentFailed where a release cannot be tried in the process of the live one: it has other packages."""
        if self.python_for(live) != self.python_for(release):
            raise DeploymentFailed(
                f"{release} and {live}, which is live, were judged with other packages, so they cannot share a process",
                next_step=f"deploy it without a trial, `mlops deploy {self.environment} {release}`: it gets workers of "
                "its own; or host both with the server's packages: packages = \"shared\" in the environment's settings",
            )

    def holds(self, family: str, release: str) -> bool:
        """Whether every worker that runs holds the release, live or warm."""
        acks = read_acks(self.folder / family)
        return bool(acks) and all(release in ack.held for ack in acks)

    def _bring(self, family: Path, old: Pointer | None, new: Pointer) -> None:
        self.rehearse(family, new.live)
        write_pointer(family, new)
        self._confirm(family, old, new)

    def health(self, family: str) -> Health:
        """What runs, by the living workers' own word and the server's readiness."""
        acks = read_acks(self.folder / family)
        server = read_server(self.folder / family)
        return Health(
            running=bool(acks),
            ready=bool(acks) and server is not None and bentoserver.ready(server.host, server.port),
            address=server.address if server else "",
            pid=server.pid if server else None,
            serving={ack.pid: ack.serving for ack in acks},
            troubles={ack.pid: ack.error for ack in acks if not ack.ok},
        )

    def _confirm(self, family: Path, old: Pointer | None, new: Pointer) -> None:
        """Wait until every worker has taken the release over; put the old one back when one does not."""
        if not read_acks(family):
            return
        server = read_server(family)
        trouble = self._await(family, new, server, self.patience)
        if trouble is None:
            return
        if old is not None:
            back = Pointer(
                live=old.live,
                previous=old.previous,
                older=old.older,
                generation=new.generation + 1,
                event=old.event,
            )
            write_pointer(family, back)
            self._await(family, back, server, min(self.patience, _BACK_SECONDS))
        raise DeploymentFailed(
            f"{new.live} did not go live: {trouble}; {old.live if old else 'nothing'} is live",
            next_step="mend the release (`mlops check-service` boots it alone), then deploy again",
        )

    def _await(self, family: Path, pointer: Pointer, server: Server | None, seconds: float) -> str | None:
        """None when all workers serve the pointer's release and the server is ready, else what is wrong."""
        wanted = server.workers if server else 1
        deadline = time.monotonic() + seconds
        acks: tuple[Ack, ...] = ()
        while time.monotonic() < deadline:
            acks = read_acks(family)
            here = [ack for ack in acks if ack.generation == pointer.generation]
            refused = next((ack for ack in here if not ack.ok), None)
            if refused:
                return refused.error
            if len(here) == len(acks) >= wanted:
                ready = server is None or bentoserver.ready(server.host, server.port)
                return None if ready else "the server is not ready"
            time.sleep(_LOOK_EVERY)
        took = sum(ack.generation == pointer.generation for ack in acks)
        return f"{took} of {wanted} workers took it over within {seconds:g} seconds"

    def _settled(self, family: Path, pointer: Pointer) -> bool:
        return all(ack.ok and ack.generation == pointer.generation for ack in read_acks(family))

    def _workers(self, family: Path) -> int:
        return len(read_acks(family))

"""A release tried in a process of its own before any worker hears of it: loaded, asked its golden requests, and gone.

Code that ends its process, or fills the memory, ends this one and no worker.
`python -m mlops.serving.rehearse RELEASES RELEASE ONLINE` ends with 0 when the release is fit to serve.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlops.errors import MlopsError
from mlops.serving.runtime import load_release


def rehearse(releases: Path, release: str, online: Path) -> None:
    """Load the release as a worker would; raises what stands in the way."""
    load_release(releases, release, online).close()


if __name__ == "__main__":
    try:
        rehearse(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    except MlopsError as error:
        sys.stderr.write(f"{error.message}\n")
        sys.exit(error.exit_code)

"""The systemd unit that keeps an environment of this machine served: started at boot, started again when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_UNIT = """\
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
WorkingDirectory={root}
ExecStart={command}
# New workers come first, with the code that is installed then.
ExecReload=/bin/kill -USR1 $MAINPID
# An environment for a release with other packages is made below the folder of state: home is read-only here.
Environment={cache}
{variables}Restart=always
RestartSec=1
RestartPreventExitStatus=2
# The server drains its requests first; what has not ended by then is killed with its workers.
KillMode=mixed
TimeoutStopSec=30
LimitNOFILE=65536
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
ReadWritePaths={state}
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictSUIDSGID=yes

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What is served: by which command, in which project, as whom; `secrets` is a file with `NAME=value` lines."""

    description: str
    command: Sequence[str]
    root: Path
    state: Path
    user: str
    secrets: Path | None = None


def unit_file(unit: Unit) -> str:
    """The text of the unit; nothing but its folder of state may be written to."""
    return _UNIT.format(
        description=unit.description.replace("%", "%%"),
        user=unit.user,
        root=_path(unit.root),
        state=_quoted(_path(unit.state)),
        cache=_quoted(f"UV_CACHE_DIR={_path(unit.state)}/python/.cache"),
        command=" ".join(_quoted(_word(word)) for word in unit.command),
        variables=f"EnvironmentFile={_path(unit.secrets)}\n" if unit.secrets else "",
    )


def _path(path: Path) -> str:
    return str(path).replace("%", "%%")


def _word(word: str) -> str:
    return word.replace("%", "%%").replace("$", "$$")


def _quoted(word: str) -> str:
    if not any(letter in word for letter in " \t\"'\\;"):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

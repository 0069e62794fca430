"""What the runner is told: the job's summary, annotations on lines, step outputs, and a log that cannot give commands.

The runner takes a line of the log that begins with `::`, and `##[` anywhere in one, for a command. So what we print is
made harmless first: names and values of a user's data stand in it.
"""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO
from unicodedata import category

from mlops.adapters.files import disk_errors

SUMMARY_LIMIT = 1 << 20
"""Bytes of a step's summary; GitHub drops a longer one whole."""

_CUT = "\n\n… cut here: the summary of a step ends at 1 MiB. The whole report is in the artifact.\n"
_MESSAGE = 4_000  # characters; the log holds no more of an annotation that anybody reads
_COMMAND = re.compile(r"(^|[\r\n])(\s*):(?=:)")
_HIDDEN = "\u200b"  # no white space to the runner, and nothing to the eye


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A sentence on a line of a file, as GitHub shows it beside the change; without a file it stands above all."""

    level: Literal["error", "warning", "notice"]
    message: str
    title: str = ""
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        """The workflow command; no text can end it or begin another."""
        fields = {"file": self.file, "line": str(self.line) if self.file and self.line else "", "title": self.title}
        told = ",".join(f"{name}={_property(text)}" for name, text in fields.items() if text)
        short = self.message if len(self.message) <= _MESSAGE else f"{self.message[:_MESSAGE]} …"
        return f"::{self.level}{' ' if told else ''}{told}::{_escaped(short)}"


def summarize(text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Append Markdown to the summary of this step, as far as there is room; False where there is no summary."""
    name = environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return False
    file = Path(name)
    with disk_errors(file):
        taken = file.stat().st_size if file.exists() else 0
        data = text.encode("utf-8", "replace")
        room = SUMMARY_LIMIT - taken - 1
        if len(data) > room:
            kept = data[: max(0, room - len(_CUT.encode()))].decode("utf-8", "ignore")
            data = f"{kept}{_CUT}".encode() if kept else b""
        with file.open("ab") as out:
            out.write(data + b"\n" if data else b"")
    return True


def output(values: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> bool:
    """Set outputs of this step, whatever their values hold; False where there are no outputs."""
    name = environ.get("GITHUB_OUTPUT")
    if not name:
        return False
    text = ""
    for key, value in values.items():
        end = f"mlops_{secrets.token_hex(16)}"  # that no value can know, so none can end itself
        text += f"{key}<<{end}\n{value}\n{end}\n"
    with disk_errors(Path(name)), Path(name).open("a", encoding="utf-8") as out:
        out.write(text)
    return True


def harmless(text: str, *, json: bool = False) -> str:
    """The text with nothing in it that the runner would take for a command; JSON keeps its values."""
    mark = "\\u0023" if json else f"#{_HIDDEN}"
    return _COMMAND.sub(rf"\1\2{_HIDDEN}:", text).replace("##[", f"#{mark}[")


class Log(io.TextIOBase):
    """A stream that writes harmless lines to another; what has no end of line yet waits for it, or for `flush`."""

    def __init__(self, stream: TextIO, *, json: bool = False) -> None:
        self._stream = stream
        self._json = json
        self._rest = ""

    def write(self, text: str) -> int:
        """Write what is complete by now."""
        whole, end, self._rest = (self._rest + text).rpartition("\n")
        if end:
            self._stream.write(harmless(whole, json=self._json) + end)
        return len(text)

    def flush(self) -> None:
        """Write what there is."""
        rest, self._rest = self._rest, ""
        self._stream.write(harmless(rest, json=self._json))
        self._stream.flush()

    def command(self, text: str) -> None:
        """Write a line that the runner is to take for a command."""
        self.flush()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def writable(self) -> bool:
        """It is there to be written to."""
        return True

    def isatty(self) -> bool:
        """A log is no terminal."""
        return False

    def fileno(self) -> int:
        """The file below, for a child process."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the file below."""
        return self._stream.encoding


def _escaped(text: str) -> str:
    clean = "".join("�" if category(c) == "Cc" and c not in "\r\n\t" else c for c in text)
    return clean.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace("##[", f"#{_HIDDEN}#[")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")

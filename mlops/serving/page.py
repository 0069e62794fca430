"""The page at `/`: what is served here, and a request to copy."""

from __future__ import annotations

import html
import json
import shlex
from typing import Any

from mlops.contract import Contract


def example(contract: Contract) -> dict[str, Any]:
    """A request with the contract's example values."""
    stand_in: dict[str, Any] = {"float": 0.0, "int": 0, "bool": False, "string": "", "timestamp": "2024-05-31T12:00:00"}
    return {
        field.name: field.example if field.example is not None or field.nullable else stand_in[field.kind]
        for field in contract.fields
    }


def command(contract: Contract, address: str, *, token: bool) -> str:
    """The `curl` that asks for a prediction."""
    header = '-H "Authorization: Bearer $TOKEN" ' if token else ""
    return f"curl {header}-d {shlex.quote(json.dumps(example(contract), ensure_ascii=False))} {address}/predict"


def page(contract: Contract, release: str, address: str, *, token: bool) -> bytes:
    """The page as HTML; nothing of a release or request gets into it unescaped."""
    rows = "".join(
        f"<tr><td><code>{html.escape(f.name)}</code><td>{f.kind}<td>{'may be null' if f.nullable else 'required'}"
        f"<td><code>{html.escape(json.dumps(f.example, ensure_ascii=False))}</code>"
        for f in contract.fields
    )
    text = _PAGE.format(
        model=html.escape(contract.model),
        release=html.escape(release),
        task=contract.task,
        command=html.escape(command(contract, address, token=token)),
        rows=rows,
    )
    return text.encode()


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{model}</title>
<style>body{{font:16px/1.5 system-ui;margin:2rem auto;max-width:48rem;padding:0 1rem}}
pre{{background:#f4f4f4;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}}
td,th{{padding:.2rem 1rem .2rem 0;text-align:left}}</style>
<h1>{model}</h1><p>Release <code>{release}</code>, {task}.</p>
<h2>Ask it</h2><pre>{command}</pre>
<p>One object gives one answer, a list of objects a list of answers.</p>
<h2>Fields</h2><table><tr><th>name<th>kind<th>null<th>example{rows}</table>
<p><a href="contract">contract</a> · <a href="metrics">metrics</a> · <a href="readyz">readiness</a> ·
<a href="docs.json">OpenAPI</a></p></html>
"""

"""The service's description in OpenAPI 3.1, made of the release's contract: it says what the decoder demands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mlops.contract import Contract, Field
from mlops.serving.golden import Golden

Schema = dict[str, Any]

_LARGEST = sys.float_info.max
_KINDS: dict[str, Schema] = {
    "float": {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST},
    "int": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "timestamp": {"type": "string", "format": "date-time"},
}
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {"type": "string", "description": "What is wrong, and what would be right."},
        "field": {"type": "string", "description": "The field to mend."},
        "row": {"type": "integer", "minimum": 0, "description": "In a list, which row; counted from 0."},
    },
}
_REFUSALS = {
    400: "The body is not JSON.",
    401: "The token is missing or wrong.",
    405: "Another method is wanted; the header Allow names it.",
    408: "The body did not come in time.",
    413: "The body is larger than the service takes, whatever is in it, or has too many rows.",
    415: "The body is packed (Content-Encoding), or of a kind that is not read here.",
    422: "A field is missing, unknown, of another type or out of range; or the model gives no finite number for it.",
    500: "The release failed to answer; the service's log says why.",
    503: "The service is starting, is overloaded, or cannot read stored features now: try again.",
    504: "The release did not answer in time.",
}
_ID: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9._:-]{1,128}$"}


def document(
    contract: Contract, golden: tuple[Golden, ...], release: str, *, most_rows: int, token: bool
) -> dict[str, Any]:
    """The document as a JSON value. `golden` shows which keys the release answers with."""
    told = golden[0].answer if golden else {}
    schemas = {"Row": row(contract), "Answer": answer(contract, told), "Error": _ERROR}
    said: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": contract.model, "version": release, "description": f"Predicts {contract.label!r}."},
        "paths": {"/predict": {"post": _predict(contract, golden, most_rows, token=token)}, **_pages(token=token)},
        "components": {"schemas": schemas},
    }
    if token:
        said["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        said["security"] = [{"token": []}]
    return said


def row(contract: Contract) -> Schema:
    """What a request's object must be."""
    return {
        "type": "object",
        "required": [field.name for field in contract.fields if not field.nullable],
        "additionalProperties": False,
        "properties": {field.name: _field(field) for field in contract.fields},
    }


def answer(contract: Contract, told: Mapping[str, Any]) -> Schema:
    """What an answer is; `told` has the keys that the release gives."""
    prediction: Schema = {"type": "number"} if contract.task == "regression" else {"enum": list(contract.classes)}
    chance: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    properties: dict[str, Schema] = {
        "prediction": prediction,
        "release": {"type": "string"},
        "request_id": {**_ID, "description": "Yours, if the header X-Request-Id has one; else a new one."},
    }
    if "probability" in told:
        properties["probability"] = {**chance, "description": f"Of {contract.positive!r}."}
    if "probabilities" in told:
        names = [str(name) for name in contract.classes]
        properties["probabilities"] = {
            "type": "object",
            "required": names,
            "additionalProperties": False,
            "properties": dict.fromkeys(names, chance),
        }
    return {"type": "object", "required": list(properties), "additionalProperties": False, "properties": properties}


def _field(field: Field) -> Schema:
    schema = dict(_KINDS[field.kind])
    if field.nullable:
        schema["type"] = [schema["type"], "null"]
    if field.example is not None:
        schema["examples"] = [field.example]
    return schema


def _predict(contract: Contract, golden: tuple[Golden, ...], most_rows: int, *, token: bool) -> dict[str, Any]:
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1, "maxItems": most_rows}
    answers = {"type": "array", "items": _ref("Answer"), "minItems": 1, "maxItems": most_rows}
    media: dict[str, Any] = {"schema": {"anyOf": [_ref("Row"), rows]}}
    if golden:
        media["examples"] = {"one": {"value": golden[0].request}, "many": {"value": [golden[0].request]}}
    good = {
        "description": "One object for one row, a list for a list.",
        "content": {"application/json": {"schema": {"anyOf": [_ref("Answer"), answers]}}},
    }
    return {
        "operationId": "predict",
        "summary": f"Predict {contract.label!r} of one row or many",
        "description": "A batch may also come as an Arrow stream (application/vnd.apache.arrow.stream) with the row's "
        "fields as columns; its answer is one too. Errors are always JSON.",
        "requestBody": {"required": True, "content": {"application/json": media}},
        "responses": {"200": good, **_refused(*_REFUSALS, token=token)},
    }


def _pages(*, token: bool) -> dict[str, Any]:
    json, plain = "application/json", "text/plain; version=0.0.4; charset=utf-8"
    text = {"type": "string"}
    ready = {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}, "release": text}}
    return {
        "/": _page("A page with an example request", "text/html; charset=utf-8", text, token=token),
        "/contract": _page("What the release reads and answers", json, {"type": "object"}, token=token),
        "/docs.json": _page("This description", json, {"type": "object"}, token=token),
        "/metrics": _page("Counts and times, as Prometheus reads them", plain, text, token=token),
        "/livez": _open("Whether the process lives", "text/plain; charset=utf-8", text),
        "/healthz": _page("Whether the process lives", "text/plain; charset=utf-8", text, token=token),
        "/readyz": _open("Whether a release has answered its golden requests here", json, ready, unready=ready),
    }


def _page(summary: str, kind: str, schema: Schema, *, token: bool) -> dict[str, Any]:
    good = {"description": summary, "content": {kind: {"schema": schema}}}
    return {"get": {"summary": summary, "responses": {"200": good, **_refused(401, 405, 503, token=token)}}}


def _open(summary: str, kind: str, schema: Schema, unready: Schema | None = None) -> dict[str, Any]:
    """A page that nobody needs a token for."""
    responses = {"200": {"description": summary, "content": {kind: {"schema": schema}}}, **_refused(405, token=False)}
    if unready is not None:
        said = {"application/json": {"schema": unready}}
        responses["503"] = {"description": "Not yet, or not any more: the service is ending.", "content": said}
    return {"get": {"summary": summary, "security": [], "responses": responses}}


def _refused(*statuses: int, token: bool) -> dict[str, Any]:
    said = {"application/json": {"schema": _ref("Error")}}
    return {str(one): {"description": _REFUSALS[one], "content": said} for one in statuses if token or one != 401}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}

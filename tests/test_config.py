"""All settings, as their schema for editors tells them."""

from __future__ import annotations

from mlops.config import json_schema


def test_the_json_schema_for_editors_knows_every_setting():
    schema = json_schema()
    assert "sources" in schema["$defs"]["Config"]["properties"]
    assert schema["$defs"]["Config"]["additionalProperties"] is False

"""What is made of what, as a picture that GitHub draws; names of a user's cannot leave their boxes."""

from __future__ import annotations

import re

import pytest

from mlops.reports.mermaid import Box, flowchart

BOXES = (
    Box(name="payments", kind="source"),
    Box(name="spend_v2", kind="view", reads=("payments",), mark="changed"),
    Box(name="share_v1", kind="on-demand", reads=("amount", "spend_v2")),
    Box(name="fraud_v2", kind="model", reads=("payments", "spend_v2", "share_v1"), mark="refused"),
    Box(name="fraud_v2-3f9c", kind="release", reads=("fraud_v2",)),
    Box(name="staging", kind="environment", reads=("fraud_v2-3f9c",)),
)


def test_arrows_go_from_what_is_read_to_what_reads_it():
    assert flowchart(BOXES).splitlines() == [
        "flowchart LR",
        '  n0[("payments")]',
        '  n1["spend_v2"]:::changed',
        '  n2[/"share_v1"/]',
        '  n3(["fraud_v2"]):::refused',
        '  n4[["fraud_v2-3f9c"]]',
        '  n5{{"staging"}}',
        "  n0 --> n1",
        "  n1 --> n2",
        "  n0 --> n3",
        "  n1 --> n3",
        "  n2 --> n3",
        "  n3 --> n4",
        "  n4 --> n5",
        "  classDef changed stroke-width:3px,stroke-dasharray:6 3",
        "  classDef refused stroke:#d1242f,stroke-width:3px",
    ]


@pytest.mark.parametrize(
    "name",
    [
        'a"] --> b["',
        "a\n```\n<script>",
        "`**bold**`",
        "%%{init: {}}%%",
        "click n0 href",
        "<img src=x>",
        "#quot;",
        "é ü",
    ],
)
def test_a_name_is_a_label_and_nothing_else(name):
    lines = flowchart([Box(name=name, kind="view")]).splitlines()
    assert lines[0] == "flowchart LR"
    assert len(lines) == 2
    assert re.fullmatch(r'  n0\["[\w .,:/…#;-]*"\]', lines[1])


def test_more_than_is_read_is_told_and_not_drawn():
    chart = flowchart([Box(name=f"s{n}", kind="source") for n in range(200)])
    assert len(chart.splitlines()) == 122
    assert '"… and 80 more"' in chart


def test_nothing_is_no_picture():
    assert flowchart([]) == ""

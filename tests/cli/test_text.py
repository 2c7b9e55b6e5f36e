"""What people read: tables, reasons, log parameters. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.cli.alloc import last_lines, log_parameters, only_task
from kokiris.cli.job import changes_allocations
from kokiris.cli.jobtext import plan_failures
from kokiris.cli.logs import time_text
from kokiris.cli.monitor import deployment_table, placement_reasons
from kokiris.cli.output import ago, pairs, rendered, table
from kokiris.kernel.errors import BadInput
from kokiris.kernel.templates.tree import TemplateError

CELLS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


def alloc(*tasks: str) -> dict[str, object]:
    return {
        "ID": "a" * 36,
        "TaskGroup": "g",
        "Job": {"TaskGroups": [{"Name": "g", "Tasks": [{"Name": task} for task in tasks]}]},
    }


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6))
def test_columns_are_aligned(rows: list[tuple[str, str, str]]) -> None:
    lines = table(rows).splitlines()
    assert [line.split() for line in lines] == [list(row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(row[0].ljust(widths[0]) + "  " + row[1].ljust(widths[1]) + "  " + row[2])


def test_empty_cells_are_said_to_be_empty() -> None:
    assert pairs([("ID", "x"), ("Class", "")]) == "ID    = x\nClass = <none>"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s ago"), (59, "59s ago"), (60, "1m ago"), (192, "3m12s ago"), (3600, "1h ago"), (90000, "1d1h ago")],
)
def test_ago(seconds: int, text: str) -> None:
    now_ns = 10**18
    assert ago(now_ns - seconds * 10**9, now_ns) == text


@given(st.binary(max_size=200), st.integers(0, 20))
def test_last_lines(text: bytes, count: int) -> None:
    tail = last_lines(text, count)
    assert text.endswith(tail)
    assert len(tail.splitlines()) == min(count, len(text.splitlines()))


def test_the_only_task_needs_no_name() -> None:
    assert only_task(alloc("web")) == "web"
    with pytest.raises(BadInput, match="2 tasks: web, log"):
        only_task(alloc("web", "log"))


def test_log_parameters() -> None:
    given_flags = {"task": "", "stderr": True, "f": True, "tail": False, "n": -1, "c": -1}
    assert log_parameters(alloc("web"), given_flags) == {
        "task": "web", "type": "stderr", "follow": "true", "plain": "true", "origin": "start", "offset": 0,
    }  # fmt: skip
    assert log_parameters(alloc("web"), {**given_flags, "tail": True, "c": 99})["offset"] == 99


def test_reasons_name_what_is_in_the_way() -> None:
    metric = {
        "NodesEvaluated": 3,
        "ConstraintFiltered": {"${attr.kernel.name} = plan9": 2},
        "NodesExhausted": 1,
        "DimensionExhausted": {"memory": 1},
        "CoalescedFailures": 1,
    }
    assert placement_reasons(metric) == [
        'Constraint "${attr.kernel.name} = plan9": 2 nodes excluded by filter',
        "Resources exhausted on 1 nodes",
        'Dimension "memory" exhausted on 1 nodes',
    ]
    assert placement_reasons({"NodesEvaluated": 0}) == ["No nodes were eligible for evaluation"]
    text = plan_failures({"FailedTGAllocs": {"web": metric}})
    assert "failed to place 2 allocations" in text


@pytest.mark.parametrize(
    ("updates", "changes"), [({}, False), ({"web": {"Ignore": 2}}, False), ({"web": {"Ignore": 1, "Place": 1}}, True)]
)
def test_whether_a_plan_changes_anything(updates: dict[str, dict[str, int]], changes: bool) -> None:
    assert changes_allocations({"Annotations": {"DesiredTGUpdates": updates}}) is changes


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.ID}}", "4c1d\n"),
        ("{{ .Job.Name }}: {{ len .Ports }}", "shop: 2\n"),
        ('{{ range .Ports }}{{ .Label }}={{ .Value }}{{ "\\n" }}{{ end }}', "http=80\nadmin=81\n"),
        ('{{ if eq .Status "running" }}up{{ else }}down{{ end }}', "up\n"),
        ('{{ printf "%.2s" .ID }}', "4c\n"),
    ],
)
def test_go_templates_over_json(template: str, expected: str) -> None:
    ports = [{"Label": "http", "Value": 80}, {"Label": "admin", "Value": 81}]
    assert rendered(template, {"ID": "4c1d", "Job": {"Name": "shop"}, "Ports": ports, "Status": "running"}) == expected


def test_a_wrong_template_names_its_place() -> None:
    with pytest.raises(TemplateError, match=r'template "-t": 1:4: .*Nope'):
        rendered("{{ .Nope }}", {"ID": "4c1d"})


def test_a_deployment_shows_canaries_when_it_has_some() -> None:
    group = {
        "AutoRevert": False, "Promoted": False, "DesiredCanaries": 0, "DesiredTotal": 2, "PlacedAllocs": 1,
        "HealthyAllocs": 1, "UnhealthyAllocs": 0, "RequireProgressBy": "2026-11-30T12:00:00.5Z",
    }  # fmt: skip
    plain = deployment_table({"TaskGroups": {"web": group}}).splitlines()
    assert plain[0].split("  ")[0] == "Task Group"
    assert "Canaries" not in plain[0]
    assert plain[1].split() == ["web", "2", "1", "1", "0", "2026-11-30T12:00:00Z"]
    with_canary = deployment_table(
        {
            "TaskGroups": {
                "web": group | {"DesiredCanaries": 1, "AutoRevert": True, "RequireProgressBy": "0001-01-01T00:00:00Z"},
                "db": group,
            }
        }
    ).splitlines()
    columns = [one.strip() for one in with_canary[0].split("  ") if one]
    assert columns[:5] == ["Task Group", "Auto Revert", "Promoted", "Desired", "Canaries"]
    assert with_canary[1].split() == ["db", "false", "N/A", "2", "0", "1", "1", "0", "2026-11-30T12:00:00Z"]
    assert with_canary[2].split() == ["web", "true", "false", "2", "1", "1", "1", "0", "N/A"]


@pytest.mark.parametrize(
    ("text", "sent"),
    [("1h", "now-1h"), ("", ""), ("now", "now"), ("2026-11-30", "2026-11-30"), ("1764500000000", "1764500000000")],
)
def test_ages_and_times_of_a_log_search(text: str, sent: str) -> None:
    assert time_text("-since", text) == sent


def test_what_is_neither_an_age_nor_a_time_is_named_with_its_flag() -> None:
    with pytest.raises(BadInput, match='-until "yesterday"'):
        time_text("-until", "yesterday")

"""Durations as Go reads and writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.kernel.units import HOUR_NS, MINUTE_NS, SECOND_NS, format_duration, format_size, parse_duration_ns

PAIRS = [
    ("0s", 0),
    ("1ns", 1),
    ("1.5µs", 1_500),
    ("999ns", 999),
    ("1µs", 1_000),
    ("1.1ms", 1_100_000),
    ("999.999999ms", 999_999_999),
    ("1s", SECOND_NS),
    ("2.2s", 2_200_000_000),
    ("1m0s", MINUTE_NS),
    ("1m30s", 90 * SECOND_NS),
    ("3m3.5s", 183_500_000_000),
    ("1h0m0s", HOUR_NS),
    ("4h5m1.000000001s", 4 * HOUR_NS + 5 * MINUTE_NS + SECOND_NS + 1),
    ("100h0m0s", 100 * HOUR_NS),
    ("-1m30s", -90 * SECOND_NS),
]


@pytest.mark.parametrize(("text", "duration_ns"), PAIRS)
def test_written_and_read_back(text: str, duration_ns: int) -> None:
    assert format_duration(duration_ns) == text
    assert parse_duration_ns(text) == duration_ns


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0", 0),
        ("+5s", 5 * SECOND_NS),
        ("-0", 0),
        ("5.s", 5 * SECOND_NS),
        (".5s", SECOND_NS // 2),
        ("1us", 1_000),
        ("1μs", 1_000),
        ("1h1ns", HOUR_NS + 1),
        ("1m1m", 2 * MINUTE_NS),
        ("0.3333333333333333333h", 1_199_999_999_999),
        ("2562047h47m16.854775807s", 2**63 - 1),
        ("-9223372036854775808ns", -(2**63)),
    ],
)
def test_other_ways_to_write_it(text: str, duration_ns: int) -> None:
    assert parse_duration_ns(text) == duration_ns


@pytest.mark.parametrize(
    "text",
    ["", "3", "-", "s", ".", "-.", ".s", "3000000h", "1d", "1 s", "1s1", "--1s", "1e3s", "١s", "9223372036854775808ns"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadInput, match="is not a duration") as caught:
        parse_duration_ns(text)
    assert caught.value.next_step


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_every_duration_survives_being_written(duration_ns: int) -> None:
    assert parse_duration_ns(format_duration(duration_ns)) == duration_ns


@given(st.text(max_size=12))
def test_garbage_is_bad_input_at_worst(text: str) -> None:
    try:
        assert isinstance(parse_duration_ns(text), int)
    except BadInput:
        return


def test_format_sizes() -> None:
    assert [format_size(one) for one in (0, 999, 1500, 250_000, 3 * 10**13)] == [
        "0 B", "999 B", "1.5 kB", "250 kB", "30.0 TB",
    ]  # fmt: skip

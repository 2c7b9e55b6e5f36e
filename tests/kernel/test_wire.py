"""JSON as Go's encoding/json reads it."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.kernel.wire import convert, decode


class Port(msgspec.Struct, kw_only=True):
    Label: str = ""
    Value: int = 0


class Task(msgspec.Struct, kw_only=True):
    Name: str
    Env: dict[str, str] = msgspec.field(default_factory=dict)
    Config: dict[str, Any] = msgspec.field(default_factory=dict)
    Ports: list[Port] = msgspec.field(default_factory=list)
    ByName: dict[str, Port] = msgspec.field(default_factory=dict)
    Port: Port | None = None
    KillTimeout: int | None = None
    Leader: bool = False
    Anything: Any = None
    renamed: str = msgspec.field(default="", name="CPU")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ('{"Name":"a"}', Task(Name="a")),
        ('{"name":"a","LEADER":true}', Task(Name="a", Leader=True)),
        ('{"Name":"exact","name":"other"}', Task(Name="exact")),
        ('{"name":"other","Name":"exact"}', Task(Name="exact")),
        ('{"Name":"a","Unknown":{"x":[1]}}', Task(Name="a")),
        ('{"Name":"a","Env":null,"Ports":null,"Leader":null,"Port":null,"KillTimeout":null}', Task(Name="a")),
        ('{"Name":"a","ports":[{"label":"http","value":80}]}', Task(Name="a", Ports=[Port(Label="http", Value=80)])),
        ('{"Name":"a","byname":{"MiXed":{"LABEL":"x"}}}', Task(Name="a", ByName={"MiXed": Port(Label="x")})),
        ('{"Name":"a","port":{"label":"x"}}', Task(Name="a", Port=Port(Label="x"))),
        (
            '{"Name":"a","Env":{"name":"kept","NAME":"kept too"}}',
            Task(Name="a", Env={"name": "kept", "NAME": "kept too"}),
        ),
        (
            '{"Name":"a","Config":{"Image":null,"x":{"y":[null]}}}',
            Task(Name="a", Config={"Image": None, "x": {"y": [None]}}),
        ),
        ('{"Name":"a","Anything":null}', Task(Name="a")),
        ('{"Name":"a","cpu":"x"}', Task(Name="a", renamed="x")),
        ('{"Name":"a","KillTimeout":5000000000}', Task(Name="a", KillTimeout=5_000_000_000)),
    ],
)
def test_decoded(body: str, wanted: Task) -> None:
    assert decode(body.encode(), Task) == wanted


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"Name":"a"} trailing', "not JSON"),
        ("\xff", "not JSON"),
        ('{"Name":"\\ud800"}', "not JSON"),
        ("[]", "does not fit"),
        ("null", "does not fit"),
        ("{}", "Name"),
        ('{"Name":{}}', r"\$\.Name"),
        ('{"Name":"a","Ports":[{"Value":"many"}]}', r"Ports\[0\]\.Value"),
        ('{"Name":"a","Ports":[null]}', "Ports"),
    ],
)
def test_refused_with_the_place(body: str, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        decode(body.encode("latin-1"), Task)


def test_deep_nesting_is_no_crash() -> None:
    body = '{"Name":"a","Anything":' + "[" * 100_000 + "]" * 100_000 + "}"
    with pytest.raises(BadInput):
        decode(body.encode(), Task)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*Task.__struct_fields__, "name", "x"]), inner)
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_json_fits_or_is_bad_input(raw: Any) -> None:
    with contextlib.suppress(BadInput):
        assert isinstance(convert(raw, Task), Task)


@given(
    st.builds(
        Task,
        Name=st.text(),
        Env=st.dictionaries(st.text(), st.text(), max_size=3),
        Ports=st.lists(st.builds(Port, Label=st.text(), Value=st.integers(0, 65535)), max_size=3),
        KillTimeout=st.none() | st.integers(0, 2**63 - 1),
    )
)
def test_what_we_write_we_read(task: Task) -> None:
    assert decode(msgspec.json.encode(task), Task) == task

"""Every function against its documentation."""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from pathlib import Path

import pytest

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec.evaluate import Scope, evaluate
from kokiris.orchestrator.jobspec.expressions import parse_whole_expression
from kokiris.orchestrator.jobspec.functions import FUNCTIONS, LAZY, filesystem_functions
from kokiris.orchestrator.jobspec.functions.files import NAMES
from kokiris.orchestrator.jobspec.source import Source
from kokiris.orchestrator.jobspec.values import plain


def value_of(text: str, base: Path | None = None) -> object:
    files = filesystem_functions(base or Path(), base is not None)
    scope = Scope(names={"var": {"x": "1"}, "local": {}}, functions={**FUNCTIONS, **files}, lazy=LAZY)
    return plain(evaluate(parse_whole_expression(Source("t", text)), scope))


TABLE: list[tuple[str, object]] = [
    ("abs(-2.5)", 2.5),
    ('base64decode("SGVsbG8gV29ybGQ=")', "Hello World"),
    ('base64encode("Hello World")', "SGVsbG8gV29ybGQ="),
    ("can(var.x)", True),
    ("can(var.missing)", False),
    ("ceil(5.1)", 6),
    ('chomp("hello\\n\\n")', "hello"),
    ('chunklist(["a", "b", "c"], 2)', [["a", "b"], ["c"]]),
    ('cidrhost("10.12.127.0/20", 16)', "10.12.112.16"),
    ('cidrhost("10.12.127.0/20", -1)', "10.12.127.255"),
    ('cidrhost("fd00:fd12:3456:7890:00a2::/72", 34)', "fd00:fd12:3456:7890::22"),
    ('cidrnetmask("172.16.0.0/12")', "255.240.0.0"),
    ('cidrsubnet("172.16.0.0/12", 4, 2)', "172.18.0.0/16"),
    ('cidrsubnet("fd00:fd12:3456:7890::/56", 16, 162)', "fd00:fd12:3456:7800:a200::/72"),
    ('cidrsubnets("10.1.0.0/16", 4, 4, 8, 4)', ["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/24", "10.1.48.0/20"]),
    ('coalesce(null, "", "b")', ""),
    ('coalescelist([], ["c"])', ["c"]),
    ('compact(["a", "", "b", null])', ["a", "b"]),
    ('concat(["a", ""], ["b"])', ["a", "", "b"]),
    ('contains(["a", "b"], "a")', True),
    ('contains(["1"], 1)', False),
    ('convert("5", number)', 5),
    ('convert(["b", "a", "b"], set(string))', ["a", "b"]),
    ('csvdecode("a,b\\n1,2\\n3,4\\n")', [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
    ('distinct(["a", "b", "a"])', ["a", "b"]),
    ('element(["a", "b", "c"], 4)', "b"),
    ('flatten([["a", "b"], [], [["c"]]])', ["a", "b", "c"]),
    ("floor(4.9)", 4),
    ('format("Hello, %s!", "Ander")', "Hello, Ander!"),
    ('format("%d of %04d, %.2f%%", 1, 23, 4.5678)', "1 of 0023, 4.57%"),
    ('format("%v %v %#v %t", 1, [1, "a"], "q", true)', '1 [1,"a"] "q" true'),
    ('format("%[2]s-%[1]s", "a", "b")', "b-a"),
    ('format("%-5s|%5s|%x|%X|%o|%b", "a", "b", 255, 255, 8, 5)', "a    |    b|ff|FF|10|101"),
    ('format("%q %+d %e", "x", 3, 12345.678)', '"x" +3 1.234568e+04'),
    ('formatdate("DD MMM YYYY hh:mm ZZZ", "2018-01-02T23:12:01Z")', "02 Jan 2018 23:12 UTC"),
    ('formatdate("EEEE, DD-MMM-YY hh:mm:ss ZZZ", "2018-01-02T23:12:01Z")', "Tuesday, 02-Jan-18 23:12:01 UTC"),
    ('formatdate("h\'h\'mm", "2018-01-02T23:12:01-08:00")', "23h12"),
    ('formatlist("Hello, %s!", ["A", "B"])', ["Hello, A!", "Hello, B!"]),
    ('indent(2, "a\\nb")', "a\n  b"),
    ('index(["a", "b"], 1)', "b"),
    ('join(", ", ["foo", "bar"])', "foo, bar"),
    ('join("-", [1, true])', "1-true"),
    ('jsondecode("{\\"hello\\": [1, 2.5, null]}")', {"hello": [1, 2.5, None]}),
    ('jsonencode({"hello" = "w<o>rld", a = [1, true, null]})', '{"a":[1,true,null],"hello":"w\\u003co\\u003erld"}'),
    ("keys({b = 1, a = 2})", ["a", "b"]),
    ("length([1, 2, 3])", 3),
    ("length({a = 1})", 1),
    ("log(16, 2)", 4),
    ('lookup({a = "ay"}, "a", "what?")', "ay"),
    ('lookup({a = "ay"}, "c", "what?")', "what?"),
    ('lower("HELLO")', "hello"),
    ("max(12, 54, 3)", 54),
    ('md5("hello world")', "5eb63bbbe01eeed093cb22bb8f5acdc3"),
    ("merge({a = 1, b = 2}, {b = 3})", {"a": 1, "b": 3}),
    ("min(12, 54, 3)", 3),
    ('parseint("FF", 16)', 255),
    ('parseint("-10", 2)', -2),
    ('parseint("aA", 62)', 656),
    ("pow(3, 2)", 9),
    ("range(3)", [0, 1, 2]),
    ("range(1, 8, 2)", [1, 3, 5, 7]),
    ("range(4, 1)", [4, 3, 2]),
    ('regex_replace("hello world", "(\\\\w+) (\\\\w+)", "$2 $${1}")', "world hello"),
    ('replace("1 + 2 + 3", "+", "-")', "1 - 2 - 3"),
    ('reverse("hello")', "olleh"),
    ("reverse([1, 2])", [2, 1]),
    ('setintersection(["a", "b"], ["b", "c"])', ["b"]),
    ('setproduct(["a", "b"], [1])', [["a", 1], ["b", 1]]),
    ('setunion(["b", "a"], ["c", "a"])', ["a", "b", "c"]),
    ('sha1("hello world")', "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed"),
    ('sha256("a")', hashlib.sha256(b"a").hexdigest()),
    ('sha512("a")', hashlib.sha512(b"a").hexdigest()),
    ("signum(-13)", -1),
    ("signum(0)", 0),
    ('slice(["a", "b", "c", "d"], 1, 3)', ["b", "c"]),
    ('sort(["e", "d", "a"])', ["a", "d", "e"]),
    ('split(",", "foo,bar")', ["foo", "bar"]),
    ('strlen("hello")', 5),
    ('strrev("ab")', "ba"),
    ('substr("hello world", 1, 4)', "ello"),
    ('substr("hello", -3, -1)', "llo"),
    ('timeadd("2017-11-22T00:00:00Z", "10m")', "2017-11-22T00:10:00Z"),
    ('timeadd("2017-11-22T00:00:00+02:00", "-1h")', "2017-11-21T23:00:00+02:00"),
    ('title("hello world")', "Hello World"),
    ('trim("?!hello?!", "!?")', "hello"),
    ('trimprefix("helloworld", "hello")', "world"),
    ('trimspace("  hello\\n\\n")', "hello"),
    ('trimsuffix("helloworld", "world")', "hello"),
    ('try(var.missing, "fallback")', "fallback"),
    ('upper("hello")', "HELLO"),
    ('urlencode("Hello World/é")', "Hello+World%2F%C3%A9"),
    ('uuidv5("dns", "www.example.org")', "74738ff5-5367-5958-9aee-98fffdcd1876"),
    ("values({b = 1, a = 2})", [2, 1]),
    (
        'yamldecode("hello: world\\nlist:\\n- 1\\n- a: true\\n  b: ~\\n")',
        {"hello": "world", "list": [1, {"a": True, "b": None}]},
    ),
    ("yamldecode(\"{a: [1, x], b: {c: 'd'}}\")", {"a": [1, "x"], "b": {"c": "d"}}),
    ('yamldecode("text: |\\n  one\\n   two\\nfold: >-\\n  a\\n  b\\n")', {"text": "one\n two\n", "fold": "a b"}),
    ('yamlencode({a = "b", c = [1, {d = null}], e = []})', '"a": "b"\n"c":\n- 1\n- "d": null\n"e": []\n'),
    ('zipmap(["a", "b"], [1, 2])', {"a": 1, "b": 2}),
]


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[text[:50] for text, _ in TABLE])
def test_documented_results(text: str, expected: object) -> None:
    assert value_of(text) == expected


def test_every_function_is_in_the_table() -> None:
    tested = {name for name in [*FUNCTIONS, *LAZY] if any(f"{name}(" in text for text, _ in TABLE)}
    others = {"bcrypt", "rsadecrypt", "uuidv4"}
    assert set(FUNCTIONS) | set(LAZY) == tested | others
    assert len(FUNCTIONS) + len(LAZY) + len(NAMES) == 83


WRONG: list[tuple[str, str]] = [
    ("abs()", "1 arguments are needed, found 0"),
    ('abs("x")', 'a number is needed, found the string "x"'),
    ('length("abc")', "a list, set or map is needed, found string"),
    ("range(5000)", "more than 1024 numbers"),
    ("range(1, 5, 0)", "the step cannot be zero"),
    ("pow(10, 99999)", "out of range"),
    ('format("%s")', "not enough arguments"),
    ('format("a", 1)', "too many arguments"),
    ('format("%99999d", 1)', "width and precision"),
    ('format("%!", 1)', "unsupported verb"),
    ('base64decode("%%")', "not base64"),
    ('jsondecode("{")', "not JSON"),
    ('yamldecode("a: &x 1")', "not supported"),
    ('bcrypt("x")', "bcrypt is not available"),
    ('rsadecrypt("x", "y")', "cannot be used"),
    ('regex_replace("aaaa", "(a+)+b", "")', "repeat inside a repeat"),
    ('regex_replace("aaaa", "(ab|cd)*x", "")', "alternatives inside a repeat"),
    ('regex_replace("a", "(", "")', "not a regular expression"),
    ('slice(["a"], 0, 2)', "do not fit"),
    ('zipmap(["a"], [])', "1 keys and 0 values"),
    ("element([], 0)", "the list is empty"),
    ('lookup({a = 1}, "b")', 'there is no key "b"'),
    ('cidrhost("10.0.0.0", 1)', "not a network"),
    ('cidrsubnet("10.0.0.0/30", 4, 0)', "cannot be extended"),
    ('formatdate("YYY", "2018-01-02T23:12:01Z")', "no part of a date"),
    ('timeadd("yesterday", "1h")', "not a time"),
    ('parseint("9", 8)', "no number of base 8"),
    ('file("/etc/passwd")', "filesystem function disabled"),
    ('uper("a")', 'There is no function "uper"; did you mean "upper"?'),
    ("try(var.a, var.b)", "no argument of try()"),
    ("setproduct(range(1000), range(1000))", "combinations"),
    ('join(",", "a")', "a list is needed, found string"),
    ("convert(1, strin)", 'There is no type "strin"; did you mean "string"?'),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:50] for text, _ in WRONG])
def test_errors_name_function_and_reason(text: str, message: str) -> None:
    with pytest.raises(JobFileError) as caught:
        value_of(text)
    assert message in caught.value.message
    assert caught.value.line == 1


def test_files_are_read_below_the_base_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hällo")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_bytes(b"\xff\x00")
    assert value_of('file("a.txt")', tmp_path) == "hällo"
    assert value_of('filebase64("sub/b.txt")', tmp_path) == base64.b64encode(b"\xff\x00").decode()
    assert value_of('fileexists("a.txt")', tmp_path) is True
    assert value_of('fileexists("b.txt")', tmp_path) is False
    assert value_of('fileset(".", "**/*.txt")', tmp_path) == ["a.txt", "sub/b.txt"]
    assert value_of('basename("a/b.txt")', tmp_path) == "b.txt"
    assert value_of('dirname("a/b.txt")', tmp_path) == "a"
    assert str(value_of('abspath("x")', tmp_path)).endswith("/x")
    assert value_of('pathexpand("/x")', tmp_path) == "/x"
    for text in ('file("none")', 'file("sub/b.txt")', 'file("sub")', 'file("a\\u0000b")'):
        with pytest.raises(JobFileError):
            value_of(text, tmp_path)


def test_uuidv4_differs_each_time() -> None:
    assert value_of("uuidv4()") != value_of("uuidv4()")


def test_numbers_are_decimal() -> None:
    assert value_of("0.1 + 0.2") == 0.3
    assert value_of('"${10 / 4} ${1 / 3}"').__str__().startswith("2.5 0.33333")
    assert value_of("7 % 3 - -2 * 2") == 5
    assert Decimal("0.3") == Decimal("0.1") + Decimal("0.2")


def test_rsadecrypt_reads_what_was_encrypted_for_its_key() -> None:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    sealed = base64.b64encode(key.public_key().encrypt(b"secret text", padding.PKCS1v15())).decode()
    assert FUNCTIONS["rsadecrypt"](sealed, pem) == "secret text"

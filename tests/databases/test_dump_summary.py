"""What a dump holds is the same however it is cut, grouped, or named."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kokiris.databases.dumpsummary import DumpEnd, DumpSummary, difference

DUMP = b"""/*M!999999\\- enable the sandbox mode */
CREATE TABLE `a``b` (
  `n` int
) ENGINE=InnoDB;
INSERT INTO `a``b` VALUES
(1,'x;'),
(2,'(y'),
(3,'z');
CREATE TABLE `empty` (
  `n` int
);
DELIMITER ;;
(not a row
DELIMITER ;
"""
GROUPED = DUMP.replace(b"(2,'(y'),\n", b"(2,'(y');\nINSERT INTO `a``b` VALUES\n")


def summary(*chunks: bytes):
    made = DumpSummary()
    for chunk in chunks:
        made.feed(chunk)
    return made.tables()


def test_rows_are_counted() -> None:
    assert {name: one.Rows for name, one in summary(DUMP).items()} == {"a`b": 3, "empty": 0}


@given(st.lists(st.integers(0, len(DUMP)), max_size=20))
def test_where_it_is_cut_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(DUMP)]
    assert summary(*(DUMP[a:b] for a, b in itertools.pairwise(edges))) == summary(DUMP)


def test_how_rows_are_grouped_does_not_matter() -> None:
    assert difference(summary(DUMP), summary(GROUPED)) == ""


def test_differences_are_told() -> None:
    whole = summary(DUMP)
    assert difference(whole, summary(DUMP.replace(b"(2,'(y'),\n", b""))) == "table a`b has 2 rows instead of 3"
    assert difference(whole, summary(DUMP.replace(b"'z'", b"'Z'"))) == "table a`b has other content"
    assert difference(whole, summary(DUMP.partition(b"CREATE TABLE `empty`")[0])) == "table empty is missing"
    assert difference(summary(b""), whole).startswith("table a`b is not in the backup")


WHOLE = (
    b"/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;\n"
    + DUMP
    + b"/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n"
)


@given(st.integers(60, WHOLE.rindex(b" */;") - 1), st.integers(1, 50))
def test_a_dump_that_broke_off_is_seen_wherever_it_did(cut: int, size: int) -> None:
    def missing(text: bytes) -> bool:
        end = DumpEnd()
        for start in range(0, len(text), size):
            end.feed(text[start : start + size])
        return end.is_missing

    assert missing(WHOLE[:cut])
    assert not missing(WHOLE)
    assert not missing(DUMP)

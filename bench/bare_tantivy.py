"""What tantivy itself takes for the same entries and the same searches: the baseline of the log search's benchmark."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import tantivy
from tantivy import Occur, Query

from bench.log_corpus import SPREAD_US, documents
from kokiris.logs.analysis import ANALYZER, analyzer
from kokiris.logs.documents import indexed
from kokiris.logs.index.day import WRITER_HEAP_BYTES
from kokiris.logs.index.log_index import COMMIT_AT_ROWS
from kokiris.logs.index.schema import KEY_STEPS, make_schema, row_of

PAGE = 500


class _Everything:
    def __contains__(self, path: object) -> bool:
        return True


def ingest_us(lines: int) -> float:
    """µs of CPU a line, rows made beforehand; committed as often as the log index does."""
    rows = []
    for at, document in enumerate(itertools.islice(documents(2, SPREAD_US // 400_000), lines)):
        entry = indexed(document, 0)
        source = msgspec.json.encode(document)
        key = entry.time_us * KEY_STEPS
        rows.append(row_of(entry, key=key, sequence=at, identifier="", source=source, paths=_Everything()))
    with tempfile.TemporaryDirectory(prefix="kokiris-bench-bare-") as folder:
        index = tantivy.Index(make_schema(), path=folder)
        index.register_tokenizer(ANALYZER, analyzer())
        begun_s = time.process_time()
        writer = index.writer(WRITER_HEAP_BYTES, 1)
        for at, row in enumerate(rows):
            writer.add_document(tantivy.Document.from_dict(row, index.schema))
            if at % COMMIT_AT_ROWS == COMMIT_AT_ROWS - 1:
                writer.commit()
        writer.commit()
        writer.wait_merging_threads()
        return (time.process_time() - begun_s) / lines * 1e6


class BareIndex:
    """`searches`: as the benchmark names them, each without an argument. `folders`: of the days, newest first."""

    def __init__(self, folders: Sequence[Path]) -> None:
        indexes = [tantivy.Index.open(str(folder)) for folder in folders]
        for index in indexes:
            index.register_tokenizer(ANALYZER, analyzer())
        self._searchers = [index.searcher() for index in indexes]
        schema = make_schema()
        term = partial(Query.term_query, schema)
        since_us = time.time_ns() // 1000 - 24 * 3_600_000_000
        recent = Query.range_query(schema, "time", tantivy.FieldType.Integer, since_us, None)
        filters = [(Occur.Must, one) for one in (term("job", "service-3"), term("level", "error"), recent)]
        by_level = {"aggs": {"l": {"terms": {"field": "level"}}}}
        p95 = {"aggs": {"p": {"percentiles": {"field": "duration_ms", "percents": [95]}}}}
        histogram = {"histogram": {"field": "time", "interval": 1.8e9, "min_doc_count": 1}, **by_level}
        number_range = indexes[0].parse_query("attrs.user.id:[99000.0 TO *]", [])
        self.searches: dict[str, Callable[[], Any]] = {
            "rare term, newest 500": partial(self._page, term("message", "zebrafish")),
            "common term, newest 500": partial(self._page, term("message", "completed")),
            "filter and range, newest 500": partial(self._page, Query.boolean_query(filters)),
            "phrase, newest 500": partial(self._page, Query.phrase_query(schema, "message", ["zebrafish", "sighting"])),
            "everything, newest 500": partial(self._page, Query.all_query()),
            "histogram by level over everything": partial(self._aggregate, histogram),
            "top 10 jobs": partial(self._aggregate, {"terms": {"field": "job", "size": 10}}),
            "p95 of duration by job": partial(self._aggregate, {"terms": {"field": "job"}, **p95}),
            "a JSON number": partial(self._page, term("attrs.user.id", 12345.0)),
            "range of a JSON number": partial(self._page, number_range),
            "infix wildcard": partial(self._page, Query.regex_query(schema, "message", "(.|\\n)*ebrafis(.|\\n)*")),
        }

    def _page(self, query: Query) -> list[Any]:
        """The newest documents as they are stored, every day counted."""
        found: list[Any] = []
        for searcher in self._searchers:
            hits = searcher.search(query, PAGE, count=True, order_by_field="k", order=tantivy.Order.Desc).hits
            found += [searcher.doc(address).get_first("_source") for _, address in hits[: PAGE - len(found)]]
        return found

    def _aggregate(self, request: dict[str, Any]) -> list[Any]:
        return [searcher.aggregate(Query.all_query(), {"a": request}) for searcher in self._searchers]

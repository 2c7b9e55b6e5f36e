"""One day's index on disk: a tantivy index and the catalogue of its fields."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tantivy

from kokiris.kernel.errors import HostError
from kokiris.kernel.files import write_atomic
from kokiris.logs.analysis import ANALYZER, analyzer
from kokiris.logs.index.catalogue import Catalogue
from kokiris.logs.index.schema import VERSION, make_schema
from kokiris.logs.query import tree
from kokiris.logs.query.compile import MAX_EXPANSIONS, Compiler

T = TypeVar("T")

log = logging.getLogger(__name__)

WRITER_HEAP_BYTES = 30_000_000


class Found(msgspec.Struct, frozen=True):
    """A hit: its order, and where its document is."""

    key: int | str
    address: Any


class DayIndex:
    """Written by one thread, searched by any. `committed` is the highest sequence number that is safe on disk."""

    def __init__(self, folder: Path) -> None:
        """Opens or creates. Raises HostError when the folder holds something else."""
        self.folder = folder
        self.name = folder.name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._index = tantivy.Index(make_schema(), path=str(folder), reuse=True)
        except (ValueError, OSError) as error:
            raise HostError(
                f"log index {folder} cannot be opened: {error}", next_step="Move the folder away to start a new one."
            ) from error
        self._index.register_tokenizer(ANALYZER, analyzer())
        self._index.config_reader("manual")
        self._writer: tantivy.IndexWriter | None = None
        self.catalogue = self._load_catalogue()
        self._dirty_catalogue = False
        self._searcher = self._index.searcher()
        self.compiler = Compiler(
            self._index, times=self._times, values_like=self._values_like, words_like=self._words_like
        )
        facts = self.aggregate(
            tantivy.Query.all_query(),
            {
                "seq": {"max": {"field": "seq"}},
                "low": {"min": {"field": "time"}},
                "high": {"max": {"field": "time"}},
            },
        )
        self.committed = int(facts["seq"]["value"] or 0)
        if self._searcher.num_docs:
            self.catalogue.min_time_us = int(facts["low"]["value"])
            self.catalogue.max_time_us = int(facts["high"]["value"])
        self.catalogue.entries = self._searcher.num_docs

    # ---- writing: one thread ----------------------------------------------------------------------------------------

    def add(self, row: dict[str, Any]) -> None:
        """Visible and safe after `commit`. Raises ValueError for a row that does not fit the schema."""
        if self._writer is None:
            self._writer = self._index.writer(WRITER_HEAP_BYTES, 1)
        self._writer.add_document(tantivy.Document.from_dict(row, self._index.schema))

    def commit(self, sequence: int) -> None:
        """Makes all rows added durable and visible; `sequence` is the highest among them. Raises ValueError or OSError:
        then all of them are lost and must be added again."""
        if self._writer is None:
            return
        self.save_catalogue()
        self._writer.commit()
        self.committed = max(self.committed, sequence)
        self._index.reload()
        self._searcher = self._index.searcher()

    def rollback(self) -> None:
        """Forgets what was added since the last commit, and the writer, which an error may have ended."""
        self._writer = None
        self._index.reload()

    def close_writer(self) -> None:
        """Waits for merges. Idempotent."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.wait_merging_threads()

    @property
    def writes(self) -> bool:
        return self._writer is not None

    @property
    def paths(self) -> Container[str]:
        """The attribute paths indexed by name."""
        return self.catalogue.fields

    def catalogue_changed(self) -> None:
        """The next commit stores it first."""
        self._dirty_catalogue = True

    def save_catalogue(self) -> None:
        """When it changed."""
        if self._dirty_catalogue:
            write_atomic(self.folder / "catalogue.json", msgspec.json.encode(self.catalogue), mode=0o600)
            self._dirty_catalogue = False

    # ---- reading: any thread ----------------------------------------------------------------------------------------

    @property
    def documents(self) -> int:
        return self._searcher.num_docs

    def compile(self, query: tree.Query) -> tantivy.Query:
        """Raises QueryError."""
        return self.compiler.compile(query)

    def count(self, query: tantivy.Query) -> int:
        """How many match. By an aggregation, which only counts: a search also ranks, at up to six times the cost."""
        return int(self.aggregate(query, {"n": {"filter": "*"}})["n"]["doc_count"])

    def newest(
        self, query: tantivy.Query, limit: int, *, by: str = "k", descending: bool = True
    ) -> tuple[list[Found], tantivy.Searcher]:
        """Hits in order, and the searcher to read them with: addresses are of that one only."""
        searcher = self._searcher
        order = tantivy.Order.Desc if descending else tantivy.Order.Asc
        result = _guarded(lambda: searcher.search(query, limit, count=False, order_by_field=by, order=order))
        return [Found(key, address) for key, address in result.hits], searcher

    def newest_of_all(
        self, query: tantivy.Query, limit: int, *, by: str = "k", descending: bool = True
    ) -> tuple[list[Found], tantivy.Searcher, int]:
        """As `newest`, and how many match in all, in one pass."""
        searcher = self._searcher
        order = tantivy.Order.Desc if descending else tantivy.Order.Asc
        result = _guarded(lambda: searcher.search(query, limit, count=True, order_by_field=by, order=order))
        return [Found(key, address) for key, address in result.hits], searcher, int(getattr(result, "count", None) or 0)

    def aggregate(self, query: tantivy.Query, request: dict[str, Any]) -> dict[str, Any]:
        """Raises ValueError for too many buckets, or what tantivy does not know."""
        return _guarded(lambda: dict(self._searcher.aggregate(query, request)))

    def key_values(self, searcher: tantivy.Searcher, found: Sequence[Found]) -> list[int]:
        """The `k` of hits that were ordered by another field."""
        return [int(one or 0) for one in searcher.fast_field_values("k", [hit.address for hit in found])]

    def size_bytes(self) -> int:
        """On disk."""
        total = 0
        with os.scandir(self.folder) as entries:
            for entry in entries:
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:  # merged away meanwhile
                    continue
        return total

    def _times(self) -> tuple[int, int]:
        """Never narrower than what is committed: entries are counted in before."""
        return self.catalogue.min_time_us, self.catalogue.max_time_us

    def _values_like(self, path: str, expression: str) -> list[str]:
        request = {"v": {"terms": {"field": f"attrs.{path}", "size": MAX_EXPANSIONS + 1, "include": expression}}}
        buckets = self.aggregate(tantivy.Query.all_query(), request)["v"]["buckets"]
        return [bucket["key"] for bucket in buckets if isinstance(bucket["key"], str)]

    def _words_like(self, field: str, prefix: str) -> list[str]:
        return [word for word, _ in self._searcher.terms_with_prefix(field, prefix, limit=MAX_EXPANSIONS + 1)]

    def _load_catalogue(self) -> Catalogue:
        try:
            found = msgspec.json.decode((self.folder / "catalogue.json").read_bytes(), type=Catalogue)
        except FileNotFoundError:
            return Catalogue(version=VERSION)
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("log index %s: its catalogue is unreadable: %s", self.name, error)
            return Catalogue(version=VERSION)
        if found.version != VERSION:
            raise HostError(
                f"log index {self.folder} is of version {found.version}, this program writes {VERSION}",
                next_step="Move the folder away, or remove it.",
            )
        return found


def _guarded(work: Callable[[], T]) -> T:
    """A panic inside tantivy is an error like others, not the end of a thread."""
    try:
        return work()
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ValueError(f"the index failed on this query: {error}") from None
        raise

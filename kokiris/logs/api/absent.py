"""Parts of Elasticsearch's API that this log search does not have: refused by name, with what to use instead. Pure."""

from __future__ import annotations

import re

from kokiris.logs.api.call import Call, EsError

_SEARCH = "Use _search with the query DSL, or with Lucene in query_string."
_ALIVE = "Entries stay as they are until their day is removed (logs.retention_days)."
_INDEX = r"(?:/[^/]+)?"
_NAMED: tuple[tuple[str, str, str, str], ...] = (
    (r".+", r"/_(?:query|esql)(?:/.*)?", "ES|QL", _SEARCH),
    (r".+", r"/_sql(?:/.*)?", "SQL", _SEARCH),
    (r".+", rf"{_INDEX}/_eql/.*", "EQL", _SEARCH),
    (r".+", rf"{_INDEX}/_(?:async_search|search/template|msearch/template|render/template)(?:/.*)?",
     "searching in the background or by template", _SEARCH),
    (r".+", rf"{_INDEX}/_(?:update|update_by_query|delete_by_query)(?:/.*)?", "changing entries", _ALIVE),
    ("DELETE", r"/[^/]+/_doc/.*", "removing one entry", _ALIVE),
    (r".+", rf"{_INDEX}/_(?:reindex|split|shrink|clone|rollover|close|open)(?:/.*)?", "reshaping indices",
     "There is one index a day; shippers name any index they like."),
    (r".+", rf"{_INDEX}/_(?:analyze|explain|termvectors|mtermvectors|validate/query|terms_enum|rank_eval)(?:/.*)?",
     "analysing texts and scores", "A wrong query is answered with the position of its error."),
    (r".+", r"/_(?:security|snapshot|ml|watcher|transform|enrich|ccr|rollup|slm|scripts)(?:/.*)?",
     "security, snapshots, machine learning and scripts", "Tokens and retention are the infra's own."),
)  # fmt: skip
_ABSENT = [(re.compile(methods), re.compile(path), name, next_step) for methods, path, name, next_step in _NAMED]


def not_here(call: Call) -> EsError:
    """Why nothing answers this call."""
    for methods, path, name, next_step in _ABSENT:
        if methods.fullmatch(call.method) and path.fullmatch(call.path):
            refused = f"{call.method} {call.path}: {name} is not part of this log search"
            return EsError(400, "illegal_argument_exception", refused, next_step=next_step)
    return EsError(
        400, "illegal_argument_exception", f"no handler found for uri [{call.path}] and method [{call.method}]"
    )

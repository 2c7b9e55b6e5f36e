"""Lists as Traefik's API gives them: filtered, sorted, in pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kokiris.kernel.errors import BadInput

PER_PAGE = 100
SORT_KEYS = ("name", "provider", "priority", "status", "rule", "service", "entryPoints", "type", "servers")


@dataclass(frozen=True, slots=True)
class Page:
    """`next_page` is 1 when there is no further one, as Traefik says it."""

    items: list[dict[str, Any]]
    next_page: int


def page_of(items: Sequence[dict[str, Any]], query: Mapping[str, str]) -> Page:
    """The part of `items` that `query` asks for: search, status, serviceName, middlewareName, sortBy, direction,
    page, per_page. Raises BadInput for a page that does not exist."""
    found = [item for item in items if _selected(item, query)]
    key = query.get("sortBy", "name")
    if key not in SORT_KEYS:
        raise BadInput(f'cannot sort by "{key[:40]}"', next_step=f"Sort by one of {', '.join(SORT_KEYS)}.")
    found.sort(key=lambda item: (_sort_key(item, key), item["name"]), reverse=query.get("direction") == "desc")
    page, per_page = _number(query, "page", 1), _number(query, "per_page", PER_PAGE)
    start = (page - 1) * per_page
    if start > 0 and start >= len(found):
        raise BadInput(f"invalid request: page: {page}, per_page: {per_page}", next_step="Start again at page 1.")
    return Page(found[start : start + per_page], page + 1 if start + per_page < len(found) else 1)


def _selected(item: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    search = query.get("search", "").lower()
    if search and not any(search in str(item.get(key, "")).lower() for key in ("name", "rule", "service")):
        return False
    status = query.get("status", "")
    if status and item["status"] != status.lower():
        return False
    wanted = query.get("serviceName", "")
    if wanted and wanted not in {item.get("service"), f"{item.get('service')}@{item['provider']}", item["name"]}:
        return False
    middleware = query.get("middlewareName", "")
    return not middleware or middleware in item.get("middlewares", ())


def _sort_key(item: Mapping[str, Any], key: str) -> Any:
    if key == "priority":
        return item.get("priority", 0)
    if key == "servers":
        return len(item.get("serverStatus", ()))
    value = item.get(key, "")
    return ",".join(value) if isinstance(value, list) else str(value)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    raw = query.get(name) or str(default)
    if not raw.isascii() or not raw.isdigit() or int(raw) < 1:
        raise BadInput(f"invalid request: {name}: {raw[:20]}", next_step=f"Give {name} a number from 1.")
    return int(raw)

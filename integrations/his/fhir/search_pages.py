"""Pages of search results: the store is read until a page has a match."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from backend.i18n import Text
from integrations.his.fhir.representation import Json
from integrations.his.fhir.search_parameters import MAX_COUNT, SearchQuery, invalid_parameter

MAX_EXAMINED = 5_000
"""The most documents that are read for one page of results."""


class SearchPage(Struct, frozen=True):
    """A page of resources, the cursor of the next page, and the total if it is known."""

    resources: list[Json]
    cursor: str | None = None
    total: int | None = None


StorePage = tuple[int, list[Json], str | None]
"""How many documents were read, the resources among them that match, and the cursor after them."""


async def first_matches(query: SearchQuery, read: Callable[[str | None, int], Awaitable[StorePage]]) -> SearchPage:
    """Return the next page with a match: an empty page would look like the end. Raises InvalidSearch."""
    cursor, limit, examined = query.cursor, query.count, 0
    while examined < MAX_EXAMINED:
        count, found, after = await read(cursor, limit)
        if len(found) > query.count:
            limit = query.count
            continue
        if found or after is None:
            return SearchPage(found, after, len(found) if after is None and query.cursor is None else None)
        cursor, limit, examined = after, min(2 * limit, MAX_COUNT), examined + count
    if query.cursor is not None:
        return SearchPage([], cursor)
    text = Text(
        zh="符合条件的记录过少，请增加查询条件，如date。", en="Too few resources match; add a criterion such as date."
    )
    raise invalid_parameter("_count", text, "too-costly")

"""Closed days of the log, and the proof that an entry is in one."""

from msgspec import Struct

from backend.city.audit_chain import AuditBlock, block_id
from backend.city.audit_log import AuditEntry
from backend.city.service import City
from backend.problems import NotFound, Problem
from backend.security.merkle import inclusion_path
from backend.store import Order, Page
from backend.store.paging import find_all

DAYS_PER_PAGE = 31


class DayOpen(Problem):
    """The day of an entry is not closed yet, so there is no root to prove it by."""

    status, title, title_zh = 409, "Day not closed", "当日日志尚未封存"


class Inclusion(Struct, frozen=True):
    """The place of an entry in its day, and the hashes that lead from its leaf to the root."""

    index: int
    size: int
    path: tuple[str, ...]
    statement: str


async def closed_days(city: City, cursor: str | None) -> Page[AuditBlock]:
    """Return the blocks that closed a day, newest first."""
    newest = Order("closed_day", "descending")
    return await city.store.find(AuditBlock, {}, order=newest, cursor=cursor, limit=DAYS_PER_PAGE)


async def closing_block_of(city: City, day: str) -> AuditBlock | None:
    """Return the block that closed a day, or None."""
    order = Order("closed_day", at_least=day)
    page = await city.store.find(AuditBlock, {}, order=order, limit=1)
    return next((block for block in page.documents if block.closed_day == day), None)


async def inclusion_of(city: City, entry: AuditEntry) -> Inclusion:
    """Return the proof that an entry is in its day. Raises DayOpen or NotFound."""
    block = None if entry.block is None else await city.store.get(AuditBlock, block_id(entry.block))
    closing = None if block is None else await closing_block_of(city, block.day)
    if block is None or closing is None:
        raise DayOpen(
            zh="该日日志在次日零点后封存，届时可取得证明。",
            en="The day of this entry is closed after midnight; the proof is available then.",
        )
    leaves: list[str] = []
    entries: list[str] = []
    async for one in find_all(city.store, AuditBlock, {"day": block.day}, Order("number")):
        leaves.extend(one.leaves)
        entries.extend(one.entries)
    if entry.id not in entries:
        raise NotFound(zh="没有找到该记录。", en="There is no such entry.")
    index = entries.index(entry.id)
    path = inclusion_path([bytes.fromhex(leaf) for leaf in leaves], index)
    return Inclusion(index, len(leaves), tuple(one.hex() for one in path), closing.statement)

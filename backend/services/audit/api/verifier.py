"""Publish the closed days and the head of the log, which anyone may keep and verify offline."""

from datetime import date

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from backend.city.audit_chain import head_of
from backend.city.service import City
from backend.problems import NotFound
from backend.security.identity import public
from backend.security.keyring import JWKS_SECONDS
from backend.services.audit.api.schemas import AuditKeys, ClosedDay, ClosedDays, LogHead, closed_day
from backend.services.audit.days import closed_days, closing_block_of

SECONDS_PER_DAY = 86_400


@get("/.well-known/audit-jwks.json", guards=[public])
async def show_audit_keys(city: NamedDependency[City]) -> Response[AuditKeys]:
    """Show the public keys that verify the statements about the audit log, also offline; old keys stay."""
    keys = AuditKeys(city.keys.jwks("audit")["keys"])
    return Response(keys, headers={"Cache-Control": f"public, max-age={JWKS_SECONDS}"})


@get("/v1/audit/days", guards=[public])
async def list_audit_days(city: NamedDependency[City], cursor: FromQuery[str | None] = None) -> ClosedDays:
    """List the closed days of the audit log, newest first; a day without an entry is not listed."""
    page = await closed_days(city, cursor)
    return ClosedDays([closed_day(block) for block in page.documents], page.cursor)


@get("/v1/audit/days/{day:date}", guards=[public])
async def show_audit_day(city: NamedDependency[City], day: FromPath[date]) -> Response[ClosedDay]:
    """Show the signed Merkle root of a closed day; it never changes."""
    block = await closing_block_of(city, day.isoformat())
    if block is None:
        raise NotFound(zh="该日尚未封存，或没有日志。", en="The day is not closed, or has no entries.")
    return Response(closed_day(block), headers={"Cache-Control": f"public, max-age={SECONDS_PER_DAY}, immutable"})


@get("/v1/audit/head", guards=[public])
async def show_audit_head(city: NamedDependency[City]) -> LogHead:
    """Show the signed end of the log. Anyone who keeps it can prove later that the log was cut or rewritten."""
    head = await head_of(city.store)
    return LogHead(None, None, None) if head is None else LogHead(head.number, head.size, head.statement)

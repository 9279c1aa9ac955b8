"""The colours that were decided, with what had been reported by then."""

from collections.abc import AsyncIterator
from datetime import datetime

from backend.city.decisions import StoredDecision
from backend.city.service import City
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.model import COLOUR, HealthEventReceipt, HealthRecord
from backend.services.health_code.reports import Report, derive_facts
from backend.store.time import from_ms, instants


async def colour_decisions(city: City, since: datetime) -> AsyncIterator[StoredDecision]:
    """Yield each change of a colour since an instant, with the facts of then.

    They are derived again from the reports that had been received. Reports that were withdrawn since are not kept.
    """
    async for record in city.store.scan(HealthRecord):
        changes = [change for change in record.history if change.at >= since]
        if not changes:
            continue
        keys = [report.key for report in record.reports if report.key is not None]
        receipts = await city.store.get_many(HealthEventReceipt, keys) if keys else {}
        for change in changes:
            yield StoredDecision(
                module=COLOUR,
                id=f"{record.id}@{change.at.isoformat()}",
                at=change.at,
                result=change.colour,
                rule=change.rule,
                rulebook=change.rulebook,
                facts=_facts_at(record, receipts, change.at),
            )


def _facts_at(record: HealthRecord, receipts: dict[str, HealthEventReceipt], at: datetime) -> HealthFacts:
    known = [report for report in record.reports if _received_at(report, receipts) <= at]
    return derive_facts(record.facts.born_at, known)


def _received_at(report: Report, receipts: dict[str, HealthEventReceipt]) -> datetime:
    """Return when a report was received, or when what it says happened if its receipt is not kept any more."""
    receipt = receipts.get(report.key or "")
    if receipt is not None and receipt.received_ms is not None:
        return from_ms(receipt.received_ms)
    return max(at for _, at in instants(report.event))

"""What the health code holds on a person.

Closing an account must not change a colour: a record stays until nothing in it can matter to a colour any more, so a
person who returns gets the colour that they would have had.
"""

from datetime import datetime, timedelta

from backend.city.personal_data import by_retention, naming_person, of_person
from backend.city.service import City, PersonalData, PersonalRecords
from backend.i18n import Text
from backend.services.health_code.model import HealthEventReceipt, HealthRecord, VenueVisit
from backend.services.health_code.rule_modules import COLOUR
from backend.store.time import from_ms, instants

REPORTED = timedelta(days=30)
"""[A] A report may matter for this long: isolation and monitoring take three weeks, and some reports are late."""

WORK_OF_OFFICES = (
    *("payload", "sample", "event", "applied", "withdraws", "due_ms"),
    *("state", "proposal", "proposed_ms", "acts", "acts_due_ms"),
)
"""What an export leaves out of receipts: officers' proposals before they are decided, and who proposed what. The health
record has the events themselves, and the audit log who acted."""

_BY_SOURCE = Text(
    zh="由报告的机构更正或撤回；您申报的症状，重新申报即可。",
    en="The authority that reported it corrects or withdraws it; declare your own symptoms again.",
)


async def _matters_until(city: City, record: HealthRecord, now: datetime) -> datetime | None:
    """Return until when a record is kept; None if nothing in it can change a colour."""
    verdict = city.rulebook.evaluate(COLOUR, record.facts, now)
    reported = [at for report in record.reports for _, at in instants(report.event)]
    until = max([verdict.changes_at or now, *(at + REPORTED for at in reported)])
    if verdict.result == "green":
        return until if until > now else None
    return max(until, now + timedelta(days=1))


async def _kept_with_record(city: City, receipt: HealthEventReceipt, now: datetime) -> datetime | None:
    """Keep a receipt as long as the record, so that its source can withdraw the event or send it again.

    One that waits, for a second person or for a sweep, is kept until it is due: closing an account ends no report.
    """
    if not receipt.applied:
        due = now if receipt.due_ms is None else from_ms(receipt.due_ms)
        return max(due, now) + timedelta(days=1)
    record = await city.store.get(HealthRecord, receipt.person)
    return None if record is None else await _matters_until(city, record, now)


_REASON = Text(
    zh="尚在影响健康码颜色的报告，须保留至其失效，以免注销账户改变颜色。",
    en="Reports that still decide the colour stay until they have no effect: closing an account changes no colour.",
)

personal_data = PersonalData(
    records=[
        PersonalRecords(
            kind=HealthRecord,
            title=Text(zh="健康码记录", en="Health record"),
            kept=Text(
                zh="保留至账户注销且所报告的事项不再影响颜色。",
                en="Until the account is closed and nothing reported affects a colour.",
            ),
            find=of_person(HealthRecord),
            correct=_BY_SOURCE,
            hidden=("code_id",),
            keep_until=_matters_until,
            reason=_REASON,
        ),
        PersonalRecords(
            kind=HealthEventReceipt,
            title=Text(zh="健康事件报告回执", en="Receipts of reported health events"),
            kept=Text(
                zh="保留至报告单位不再重发；有效的报告仍可撤回。",
                en="Until no source repeats the event; a report in force can still be withdrawn.",
            ),
            find=naming_person(HealthEventReceipt, "person"),
            correct=_BY_SOURCE,
            hidden=WORK_OF_OFFICES,
            keep_until=_kept_with_record,
            reason=_REASON,
        ),
        PersonalRecords(
            kind=VenueVisit,
            title=Text(zh="场所扫码记录", en="Scans at venues"),
            kept=Text(zh="保留至不再需要追踪密切接触者。", en="Until contacts are no longer traced."),
            find=naming_person(VenueVisit, "person"),
            hidden=("gate",),
            keep_until=by_retention,
            reason=Text(zh="用于追踪密切接触者。", en="They are needed to trace close contacts."),
        ),
    ]
)

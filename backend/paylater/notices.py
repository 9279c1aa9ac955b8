"""Choose the text of a notice, and name the dates that hold when it is sent."""

from datetime import datetime
from zoneinfo import ZoneInfo

from backend.i18n import Text, yuan
from backend.paylater.bill import Billable, Notice


def notice_text(notice: Notice, billable: Billable, next_debit_at: datetime | None, zone: ZoneInfo) -> Text:
    """Return the text of a notification, with dates in the city's time.

    A bill that was paid or cancelled before its notification is sent has no due date to name.
    """
    texts, parts, first, at = billable.texts, billable.unpaid(), "", None
    text = texts.notices[notice.kind]
    if notice.kind == "bill" and parts and billable.owed_fen() == notice.amount_fen:
        at, first = parts[0].due_at, yuan(parts[0].amount_fen)
        if len(parts) > 1:
            text = texts.instalments_by_debit if billable.automatic_debit else texts.instalments_by
        else:
            text = texts.bill_by_debit if billable.automatic_debit else texts.bill_by
    if notice.kind == "debit_failed" and next_debit_at is not None:
        text, at = texts.debit_retried, next_debit_at
    chinese, english = ("", "") if at is None else _local(at, zone)
    figures = {"yuan": yuan(notice.amount_fen), "first": first, "count": len(parts)}
    return Text(zh=text.zh.format(**figures, at=chinese), en=text.en.format(**figures, at=english))


def _local(at: datetime, zone: ZoneInfo) -> tuple[str, str]:
    local = at.astimezone(zone)
    return f"{local.month}月{local.day}日{local.hour}:{local:%M}", f"{local:%Y-%m-%d %H:%M}"

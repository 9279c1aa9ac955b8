"""The texts of notifications to patients: short enough for a phone's lock screen, without hospital or treatment."""

from datetime import datetime
from zoneinfo import ZoneInfo

from backend.i18n import Text, yuan
from backend.services.medical_credit.model.visit import Notice, NoticeKind, Visit

_TEXTS: dict[NoticeKind, Text] = {
    "bill": Text(
        zh="您的就医账单已生成，应付{yuan}元。",
        en="Your bill is ready: {yuan} yuan.",
    ),
    "reminder": Text(
        zh="您有{yuan}元就医账单已到期，请今天支付，以免先看病后付费被暂停。",
        en="Your bill of {yuan} yuan is due. Pay it today to keep pay later available.",
    ),
    "debit_failed": Text(
        zh="自动扣款{yuan}元未成功，请检查银行卡余额，并自行支付。",
        en="The automatic debit of {yuan} yuan failed. Check your card's balance and pay the bill yourself.",
    ),
    "suspended": Text(
        zh="您有{yuan}元账单逾期，先看病后付费已暂停；付清后即恢复，急诊不受影响。",
        en="{yuan} yuan are overdue, so paying later is suspended until you pay. Emergency care is not affected.",
    ),
    "restored": Text(
        zh="已收到付款{yuan}元，先看病后付费已恢复。",
        en="We received {yuan} yuan; you can pay later again.",
    ),
    "refunded": Text(
        zh="{yuan}元已原路退回，请留意原支付账户。",
        en="{yuan} yuan were refunded to the original account.",
    ),
    "cancelled": Text(
        zh="您的一次就诊已取消，账单同时作废；已付款项将原路退回。",
        en="A visit was cancelled together with its bill; payments will be refunded.",
    ),
}
_BILL_BEFORE = Text(
    zh="您的就医账单已生成，应付{yuan}元，请在{at}前支付。",
    en="Your bill is ready: {yuan} yuan. Please pay by {at}.",
)
_BILL_BY_DEBIT = Text(
    zh="您的就医账单已生成，应付{yuan}元，将于{at}自动扣款；您也可以提前支付。",
    en="Your bill is ready: {yuan} yuan. It will be debited on {at}; you can also pay earlier.",
)
_BILL_IN_PARTS = Text(
    zh="您的就医账单已生成，应付{yuan}元，分{count}期支付；请在{at}前支付首期{first}元。",
    en="Your bill is ready: {yuan} yuan in {count} parts. Please pay the first, {first} yuan, by {at}.",
)
_PARTS_BY_DEBIT = Text(
    zh="您的就医账单已生成，应付{yuan}元，分{count}期支付；首期{first}元将于{at}自动扣款。",
    en="Your bill is ready: {yuan} yuan in {count} parts. The first, {first} yuan, will be debited on {at}.",
)
_DEBIT_RETRIED = Text(
    zh="自动扣款{yuan}元未成功，请检查银行卡余额，或自行支付；{at}将再次扣款。",
    en="The automatic debit of {yuan} yuan failed. Check your card's balance or pay yourself; it is retried on {at}.",
)


def notice_text(notice: Notice, visit: Visit, next_debit_at: datetime | None, zone: ZoneInfo) -> Text:
    """Return the text of a notification, with the dates that the visit has when it is sent, in the city's time.

    A bill that was paid or cancelled before its notification is sent has no due date to name.
    """
    text, parts, first, at = _TEXTS[notice.kind], visit.unpaid(), "", None
    if notice.kind == "bill" and parts and visit.owed_fen() == notice.amount_fen:
        at, first = parts[0].due_at, yuan(parts[0].amount_fen)
        if len(parts) > 1:
            text = _PARTS_BY_DEBIT if visit.automatic_debit else _BILL_IN_PARTS
        else:
            text = _BILL_BY_DEBIT if visit.automatic_debit else _BILL_BEFORE
    if notice.kind == "debit_failed" and next_debit_at is not None:
        text, at = _DEBIT_RETRIED, next_debit_at
    chinese, english = ("", "") if at is None else _local(at, zone)
    figures = {"yuan": yuan(notice.amount_fen), "first": first, "count": len(parts)}
    return Text(zh=text.zh.format(**figures, at=chinese), en=text.en.format(**figures, at=english))


def _local(at: datetime, zone: ZoneInfo) -> tuple[str, str]:
    local = at.astimezone(zone)
    return f"{local.month}月{local.day}日{local.hour}:{local:%M}", f"{local:%Y-%m-%d %H:%M}"

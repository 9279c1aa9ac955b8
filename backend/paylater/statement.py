"""Compare our payments and refunds with the bank's statement of a day."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.city.service import City
from backend.i18n import Text, decimal_yuan
from backend.paylater.bill import B, Billable, Payment, Refund
from backend.paylater.difference_texts import DifferingValue, differing_text, repeated_text
from backend.paylater.ports import Bank, BankEntry
from backend.paylater.transfers import BillSaga, billable_of, with_outcome

TransferDifferenceKind = Literal[
    "payment_only_at_bank",
    "payment_missing_at_bank",
    "refund_only_at_bank",
    "refund_missing_at_bank",
    "transfer_differs",
    "transfer_repeated_at_bank",
]
TRANSFER_TITLES: dict[TransferDifferenceKind, str] = {
    "payment_only_at_bank": "付款仅银行有 · payment only at the bank",
    "payment_missing_at_bank": "付款仅我方有 · payment missing at the bank",
    "refund_only_at_bank": "退款仅银行有 · refund only at the bank",
    "refund_missing_at_bank": "退款仅我方有 · refund missing at the bank",
    "transfer_differs": "收付不一致 · transfer differs",
    "transfer_repeated_at_bank": "银行收付重复 · transfer repeated at the bank",
}
TransferRepair = Literal["accept_bank_record", "query_bank", "contact_bank"]

MIDNIGHT_TOLERANCE = timedelta(hours=1)
"""How far our record of a transfer and the bank's may lie apart across midnight; more is another day."""


class TransferDifference(Struct, frozen=True):
    """A payment or refund that differs between our records and the bank's; an amount is None if a side has none.

    `detail` says what differs.
    """

    kind: TransferDifferenceKind
    billable: str
    transfer: str
    ours_fen: int | None
    theirs_fen: int | None
    repair: TransferRepair
    detail: Text


def compare_transfers(
    ours: Iterable[Billable], statement: Iterable[BankEntry], zone: ZoneInfo
) -> Iterator[TransferDifference]:
    """Yield what the bank has and we have not, what it has twice, and transfers that differ."""
    at_bank: dict[str, BankEntry] = {}
    for entry in statement:
        if entry.id in at_bank:
            yield _repeated(entry)
        at_bank[entry.id] = entry
    for billable in ours:
        for one in billable.transfers():
            entry = at_bank.pop(one.id, None)
            if entry is not None and not one.is_done():
                state = Text(zh="我方记录为未完成", en="it is not done here")
                yield _only_at_bank(entry, state, "accept_bank_record")
            elif entry is not None and (what := list(_what(one, entry, zone))):
                detail = differing_text(_named(one), what, Text(zh="银行", en="at the bank"))
                amounts = one.amount_fen, entry.amount_fen
                yield TransferDifference("transfer_differs", billable.id, one.id, *amounts, "contact_bank", detail)
    for entry in at_bank.values():
        yield _only_at_bank(entry, Text(zh="我方没有该笔收付", en="it is unknown here"), "query_bank")


def _what(one: Payment | Refund, entry: BankEntry, zone: ZoneInfo) -> Iterator[DifferingValue]:
    """Yield what differs between a transfer that is done here and the bank's entry, with both values."""
    kind = "payment" if isinstance(one, Payment) else "refund"
    if kind != entry.kind:
        yield Text(zh="收付方向", en="direction"), kind, entry.kind
    if one.amount_fen != entry.amount_fen:
        yield Text(zh="金额", en="amount"), decimal_yuan(one.amount_fen), decimal_yuan(entry.amount_fen)
    payer = one.payer if isinstance(one, Payment) else ""
    if entry.payer and payer and entry.payer != payer:
        yield Text(zh="付款人", en="payer"), payer, entry.payer
    if one.answered_at is not None:
        ours, theirs = (at.astimezone(zone).date() for at in (one.answered_at, entry.at))
        if ours != theirs and abs(one.answered_at - entry.at) > MIDNIGHT_TOLERANCE:
            yield Text(zh="日期", en="day"), str(ours), str(theirs)


def _named(one: Payment | Refund | BankEntry) -> Text:
    is_payment = one.kind == "payment" if isinstance(one, BankEntry) else isinstance(one, Payment)
    return (
        Text(zh=f"付款{one.id}", en=f"Payment {one.id}")
        if is_payment
        else Text(zh=f"退款{one.id}", en=f"Refund {one.id}")
    )


def _only_at_bank(entry: BankEntry, state: Text, repair: TransferRepair) -> TransferDifference:
    kind = "payment_only_at_bank" if entry.kind == "payment" else "refund_only_at_bank"
    name, amount = _named(entry), decimal_yuan(entry.amount_fen)
    detail = Text(
        zh=f"{name.zh}（{amount}元）银行已完成，{state.zh}。",
        en=f"{name.en} of {amount} yuan is done at the bank; {state.en}.",
    )
    return TransferDifference(kind, billable_of(entry.id), entry.id, None, entry.amount_fen, repair, detail)


def _repeated(entry: BankEntry) -> TransferDifference:
    fen = entry.amount_fen
    detail = repeated_text(_named(entry), Text(zh="银行对账单", en="the bank's statement"), fen)
    kind = "transfer_repeated_at_bank"
    return TransferDifference(kind, billable_of(entry.id), entry.id, fen, 2 * fen, "contact_bank", detail)


def missing_at_bank(
    ours: Iterable[Billable], statement: Iterable[BankEntry], begins: datetime, ends: datetime
) -> Iterator[TransferDifference]:
    """Yield each transfer that is done in our records within [begins, ends) but not at the bank.

    `statement` is that of the day, and of the days before and after it if a transfer is close to midnight.
    """
    at_bank = {entry.id for entry in statement}

    def is_missing(one: Payment | Refund) -> bool:
        return is_done_within(one, begins, ends) and one.id not in at_bank

    for billable in ours:
        for one in filter(is_missing, billable.transfers()):
            kind = "payment_missing_at_bank" if isinstance(one, Payment) else "refund_missing_at_bank"
            name, amount = _named(one), decimal_yuan(one.amount_fen)
            detail = Text(
                zh=f"{name.zh}（{amount}元）我方记录为已完成，银行对账单中没有。",
                en=f"{name.en} of {amount} yuan is done here and not in the bank's statement.",
            )
            yield TransferDifference(kind, billable.id, one.id, one.amount_fen, None, "query_bank", detail)


def is_done_within(one: Payment | Refund, begins: datetime, ends: datetime) -> bool:
    """Return whether a transfer is done in our records within [begins, ends)."""
    return one.is_done() and one.answered_at is not None and begins <= one.answered_at < ends


async def query_bank(city: City, saga: BillSaga[B], transfer_id: str) -> str | None:
    """Query the bank for a transfer, and record it as done if it is, whatever the bank answered before.

    Returns None if it is done, otherwise the bank's answer. Raises UpstreamTimeout.
    """
    answer = await city.port(Bank).look_up(transfer_id)
    if answer.outcome != "done":
        return answer.outcome
    await saga.update(
        city,
        billable_of(transfer_id),
        lambda found, now: with_outcome(found, transfer_id, answer, now, corrects_failure=True),
    )
    return None

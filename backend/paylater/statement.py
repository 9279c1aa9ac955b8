"""Compare our payments and refunds with the bank's statement of a day."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

from msgspec import Struct

from backend.city.service import City
from backend.paylater.bill import B, Billable, Payment, Refund
from backend.paylater.ports import Bank, BankEntry
from backend.paylater.transfers import BillSaga, billable_of, with_outcome

TransferDifferenceKind = Literal[
    "payment_only_at_bank",
    "payment_missing_at_bank",
    "refund_only_at_bank",
    "refund_missing_at_bank",
    "transfer_differs",
]
TRANSFER_TITLES: dict[TransferDifferenceKind, str] = {
    "payment_only_at_bank": "付款仅银行有 · payment only at the bank",
    "payment_missing_at_bank": "付款仅我方有 · payment missing at the bank",
    "refund_only_at_bank": "退款仅银行有 · refund only at the bank",
    "refund_missing_at_bank": "退款仅我方有 · refund missing at the bank",
    "transfer_differs": "收付金额不一致 · transfer differs",
}
TransferRepair = Literal["accept_bank_record", "query_bank"]


class TransferDifference(Struct, frozen=True):
    """A payment or refund that differs between our records and the bank's; an amount is None if a side has none."""

    kind: TransferDifferenceKind
    billable: str
    transfer: str
    ours_fen: int | None
    theirs_fen: int | None
    repair: TransferRepair


def compare_transfers(ours: Iterable[Billable], statement: Iterable[BankEntry]) -> Iterator[TransferDifference]:
    """Yield what the bank has and we have not, and transfers whose amounts differ."""
    at_bank = {entry.id: entry for entry in statement}
    for billable in ours:
        for one in billable.transfers():
            entry = at_bank.pop(one.id, None)
            if entry is not None and not one.is_done():
                yield _only_at_bank(entry, "accept_bank_record")
            elif entry is not None and entry.amount_fen != one.amount_fen:
                yield TransferDifference(
                    "transfer_differs", billable.id, one.id, one.amount_fen, entry.amount_fen, "query_bank"
                )
    for entry in at_bank.values():
        yield _only_at_bank(entry, "query_bank")


def _only_at_bank(entry: BankEntry, repair: TransferRepair) -> TransferDifference:
    kind = "payment_only_at_bank" if entry.kind == "payment" else "refund_only_at_bank"
    return TransferDifference(kind, billable_of(entry.id), entry.id, None, entry.amount_fen, repair)


def missing_at_bank(
    ours: Iterable[Billable], statement: Iterable[BankEntry], begins: datetime, ends: datetime
) -> Iterator[TransferDifference]:
    """Yield each transfer that is done in our records within [begins, ends) but not at the bank."""
    at_bank = {entry.id for entry in statement}

    def is_missing(one: Payment | Refund) -> bool:
        at = one.answered_at
        return one.is_done() and at is not None and begins <= at < ends and one.id not in at_bank

    for billable in ours:
        for one in filter(is_missing, billable.transfers()):
            kind = "payment_missing_at_bank" if isinstance(one, Payment) else "refund_missing_at_bank"
            yield TransferDifference(kind, billable.id, one.id, one.amount_fen, None, "query_bank")


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

"""The bank port: debits of bound cards, refunds, and the statement of a day.

The city creates all ids, and every call can be repeated with the same id: the answer is then the same. A call that
times out raises `UpstreamTimeout`, and it is unknown whether it took effect: call `look_up` before anything else.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from backend.city.upstream import BankAnswer, NotifyingBank


class BankEntry(Struct, frozen=True):
    """An entry of the bank's statement: a payment to the city, or a refund by the city.

    `payer` is the payer whom our order named, if the bank's statement tells it.
    """

    id: str
    kind: Literal["payment", "refund"]
    amount_fen: int
    at: datetime
    receipt: str
    payer: str = ""


@runtime_checkable
class Bank(NotifyingBank, Protocol):
    """Debits citizens' bound cards and refunds payments to the original account."""

    async def pay(self, payment_id: str, payer: str, amount_fen: int) -> BankAnswer:
        """Debit `payer` (the id of a Profile) once for this payment id. Raises UpstreamTimeout."""
        ...

    async def refund(self, refund_id: str, payment_id: str, amount_fen: int) -> BankAnswer:
        """Refund a payment, in full or in part, once for this refund id. Raises UpstreamTimeout."""
        ...

    async def look_up(self, transfer_id: str) -> BankAnswer:
        """Return the outcome of a payment or refund. Raises UpstreamTimeout."""
        ...

    async def statement(self, day: date) -> Sequence[BankEntry]:
        """Return the entries of a day. Raises UpstreamTimeout."""
        ...

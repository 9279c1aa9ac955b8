"""A bank that fails in every way in which a bank can fail."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Literal

from backend.city.upstream import BankAnswer, BankNotice, UpstreamTimeout
from backend.paylater.ports import BankEntry


class UnreliableBank:
    """A bank that fails, loses requests and answers, decides late, and refuses, as listed in `script`."""

    def __init__(self) -> None:
        self.transfers: dict[str, BankEntry] = {}
        self.pending: dict[str, BankEntry] = {}
        self.refused: set[str] = set()
        self.script: list[Literal["lost_before", "lost_after", "refused", "pending"]] = []
        self.happened: Counter[str] = Counter()
        self.now = datetime.min.replace(tzinfo=UTC)

    async def pay(self, payment_id: str, payer: str, amount_fen: int) -> BankAnswer:
        assert payer
        return self._move(BankEntry(payment_id, "payment", amount_fen, self.now, f"r-{payment_id}"))

    async def refund(self, refund_id: str, payment_id: str, amount_fen: int) -> BankAnswer:
        assert payment_id in self.transfers, "only a payment can be refunded"
        return self._move(BankEntry(refund_id, "refund", amount_fen, self.now, f"r-{refund_id}"))

    def _move(self, entry: BankEntry) -> BankAnswer:
        outcome = self.script.pop(0) if self.script else "fine"
        self.happened[outcome] += 1
        if outcome == "lost_before":
            raise UpstreamTimeout("the request is lost")
        known = {**self.transfers, **self.pending}.get(entry.id)
        assert known is None or known.amount_fen == entry.amount_fen, "an id has one amount"
        if known is None and entry.id not in self.refused:
            if outcome == "refused" and entry.kind == "payment":
                self.refused.add(entry.id)
            else:
                (self.pending if outcome == "pending" else self.transfers)[entry.id] = entry
        if outcome == "lost_after":
            raise UpstreamTimeout("the answer is lost")
        return self.answer(entry.id)

    def answer(self, transfer_id: str) -> BankAnswer:
        if transfer_id in self.refused:
            return BankAnswer("failed", reason="refused")
        if transfer_id in self.pending:
            return BankAnswer("pending")
        return BankAnswer("done", receipt="r") if transfer_id in self.transfers else BankAnswer("unknown")

    def decide_pending(self) -> None:
        self.transfers |= self.pending
        self.pending.clear()

    async def look_up(self, transfer_id: str) -> BankAnswer:
        if self.script and self.script[0].startswith("lost"):
            self.script.pop(0)
            raise UpstreamTimeout("no answer")
        return self.answer(transfer_id)

    async def statement(self, day: date) -> Sequence[BankEntry]:
        return [entry for entry in self.transfers.values() if entry.at.date() == day]

    def read_notice(self, body: bytes, signature: str) -> BankNotice:
        raise NotImplementedError

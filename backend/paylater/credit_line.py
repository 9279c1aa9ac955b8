"""A line of credit with two-phase holds within a limit.

Credit is first held. A hold is then posted (in full or in part), voided, or it expires: the phases of TigerBeetle's
pending transfers. All ids come from the caller. Repeating a step changes nothing, and reusing an id for something else
is refused. The lines of a person are part of one Document and each step is one conditional write, so concurrent
writers cannot exceed the limit. Everything here is pure; amounts are in fen.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import yuan
from backend.problems import Problem

MAX_HOLDS = 200
"""An account with more holds archives the resolved ones."""

MIN_RETENTION = timedelta(days=1)
"""A younger hold is never archived: an interrupted step is resumed within a day, or an operator finds it."""

HoldState = Literal["held", "posted", "voided", "expired"]
"""An expired hold stays `held` in the store, apart from those that earlier editions marked as `expired`."""

Movement = Literal["repay", "release", "return"]


class CreditExhausted(Problem):
    """The available credit is less than the amount requested."""

    title = "Credit limit reached"


class TransferChanged(Problem):
    """The id was used before with another amount or purpose."""


class HoldResolved(Problem):
    """The hold is already posted, voided or expired, so this step is refused."""


class HoldArchived(Problem):
    """The hold was created before the archive date of the account, so it cannot be placed again."""


class UnknownHold(Problem):
    """The account has no such hold."""

    status = 404


class HoldExceeded(Problem):
    """The amount to post exceeds the hold, or the amount to repay, release or return exceeds what was posted."""


class Superseded(Exception):
    """A later version of the caller's decision was already applied to this hold; read it again and decide again."""


class Transfer(Struct, frozen=True, gc=False):
    """A movement on a posted hold: a repayment, a release of debt without payment, or money returned to the payer."""

    id: str
    kind: Movement
    amount_fen: int
    at: datetime


class Hold(Struct, frozen=True, gc=False):
    """Credit held from `created_at` to `expires_at` for one purpose.

    `requested_fen` was requested and `amount_fen` granted. A hold with `over_limit` is an exception and does not use
    the limit. `version` numbers the caller's decisions about the hold.
    """

    id: str
    requested_fen: int
    amount_fen: int
    created_at: datetime
    expires_at: datetime
    over_limit: bool = False
    version: int = 0
    state: HoldState = "held"
    posted_fen: int = 0
    transfers: tuple[Transfer, ...] = ()

    def is_pending(self, at: datetime) -> bool:
        """Return whether it is neither posted, voided nor expired at an instant."""
        return self.state == "held" and at < self.expires_at

    def held_fen(self, at: datetime) -> int:
        """Return the amount held at an instant."""
        return self.amount_fen if self.is_pending(at) else 0

    def moved_fen(self, kind: Movement) -> int:
        """Return the sum of the movements of a kind."""
        return sum(transfer.amount_fen for transfer in self.transfers if transfer.kind == kind)

    def due_fen(self) -> int:
        """Return the debt before repayment: what was posted and not released."""
        return self.posted_fen - self.moved_fen("release")

    def owed_fen(self) -> int:
        """Return the unpaid debt; negative while more was paid than is now due."""
        return self.due_fen() - self.moved_fen("repay") + self.moved_fen("return")


class CreditLine(Struct, frozen=True, kw_only=True):
    """What one person may owe for one purpose, with all holds that are not archived, oldest first.

    Holds created at `archived_until` or earlier are archived unless they are still listed here.
    """

    limit_fen: int
    holds: tuple[Hold, ...] = ()
    archived_until: datetime | None = None

    def held_fen(self, at: datetime) -> int:
        """Return the amount held within the limit."""
        return sum(hold.held_fen(at) for hold in self.holds if not hold.over_limit)

    def used_fen(self) -> int:
        """Return the unpaid debt within the limit."""
        return sum(max(0, hold.owed_fen()) for hold in self.holds if not hold.over_limit)

    def over_limit_fen(self, at: datetime) -> int:
        """Return the amount held or owed over the limit, as exceptions."""
        return sum(hold.held_fen(at) + max(0, hold.owed_fen()) for hold in self.holds if hold.over_limit)

    def available_fen(self, at: datetime) -> int:
        """Return the available credit; never negative, even if the limit was lowered below the debt."""
        return max(0, self.limit_fen - self.held_fen(at) - self.used_fen())

    def find(self, hold_id: str) -> Hold | None:
        """Return the hold with this id, or None."""
        return next((hold for hold in self.holds if hold.id == hold_id), None)

    def get(self, hold_id: str) -> Hold:
        """Return the hold with this id. Raises UnknownHold."""
        known = self.find(hold_id)
        if known is None:
            raise UnknownHold(zh="没有找到该笔预留额度。", en=f"The account has no hold {hold_id}.")
        return known


def hold(line: CreditLine, requested: Hold, at: datetime, *, allow_partial: bool = False) -> CreditLine:
    """Hold the requested credit if enough is available.

    With `allow_partial` a smaller amount is held if less is available; the limit is not checked if it is `over_limit`.
    Its `created_at` is when the id was created, the same at each attempt. Raises CreditExhausted, TransferChanged or
    HoldArchived.
    """
    requested_fen, available_fen = requested.requested_fen, line.available_fen(at)
    assert requested_fen >= 0, "credit is never negative"
    existing = line.find(requested.id)
    if existing is not None:
        if (existing.requested_fen, existing.over_limit) != (requested_fen, requested.over_limit):
            raise _changed(requested.id)
        return line
    if line.archived_until is not None and requested.created_at <= line.archived_until:
        raise HoldArchived(
            zh="该笔预留额度已归档，不能再次使用。", en=f"Hold {requested.id} is archived and cannot be placed again."
        )
    if requested_fen > available_fen and not (allow_partial or requested.over_limit):
        raise CreditExhausted(
            zh=f"可用额度不足：需要{yuan(requested_fen)}元，可用{yuan(available_fen)}元。",
            en=f"Not enough credit: {yuan(requested_fen)} yuan requested, {yuan(available_fen)} yuan available.",
            requested_fen=requested_fen,
            available_fen=available_fen,
        )
    granted_fen = requested_fen if requested.over_limit else min(requested_fen, available_fen)
    return _archive(replace(line, holds=(*line.holds, replace(requested, amount_fen=granted_fen))), at)


def post(line: CreditLine, hold_id: str, amount_fen: int, at: datetime) -> CreditLine:
    """Turn a hold into debt, in full or in part; the rest becomes available again.

    Raises UnknownHold, HoldExceeded, HoldResolved (an expired hold is resolved) or TransferChanged.
    """
    known = line.get(hold_id)
    if known.state == "posted":
        if known.posted_fen != amount_fen:
            raise _changed(hold_id)
        return line
    if not known.is_pending(at):
        raise _resolved(known)
    if not 0 <= amount_fen <= known.amount_fen:
        raise HoldExceeded(
            zh="记账金额超过预留额度。",
            en=f"The amount, {amount_fen} fen, exceeds the hold of {known.amount_fen} fen.",
        )
    return _with_hold(line, replace(known, state="posted", posted_fen=amount_fen))


def void(line: CreditLine, hold_id: str, at: datetime) -> CreditLine:
    """Release an unused hold. Raises UnknownHold or HoldResolved."""
    known = line.get(hold_id)
    if known.state == "voided":
        return line
    if not known.is_pending(at):
        raise _resolved(known)
    return _with_hold(line, replace(known, state="voided"))


def move(line: CreditLine, hold_id: str, transfer_id: str, kind: Movement, amount_fen: int, at: datetime) -> CreditLine:
    """Record a repayment, a release without payment, or a refund, once for this transfer id.

    A release cannot exceed the posted amount, nor a return the repaid amount. Raises UnknownHold, HoldResolved for a
    hold that was not posted, HoldExceeded or TransferChanged.
    """
    known = line.get(hold_id)
    before = next((transfer for transfer in known.transfers if transfer.id == transfer_id), None)
    if before is not None:
        if (before.kind, before.amount_fen) != (kind, amount_fen):
            raise _changed(transfer_id)
        return line
    if known.state != "posted":
        raise _resolved(known)
    max_fen = {
        "repay": max(0, known.owed_fen()),
        "release": known.due_fen(),
        "return": known.moved_fen("repay") - known.moved_fen("return"),
    }[kind]
    if not 0 < amount_fen <= max_fen:
        raise HoldExceeded(
            zh="金额超过该笔账单可结清的部分。",
            en=f"The amount, {amount_fen} fen, exceeds the {max_fen} fen that can be settled.",
        )
    return _with_hold(line, replace(known, transfers=(*known.transfers, Transfer(transfer_id, kind, amount_fen, at))))


def supersede(line: CreditLine, hold_id: str, version: int) -> CreditLine:
    """Record the version of the caller's decision on a hold. Raises Superseded if a later one is recorded.

    This stops a slow process from applying a decision that another process has replaced. Raises UnknownHold.
    """
    known = line.get(hold_id)
    if known.version > version:
        raise Superseded(f"{hold_id} is at version {known.version}, not {version}")
    return line if known.version == version else _with_hold(line, replace(known, version=version))


def _archive(line: CreditLine, at: datetime) -> CreditLine:
    """Archive the oldest resolved holds if there are too many; an archived hold cannot be placed again."""
    resolved = (one for one in line.holds if one.state != "held" and one.owed_fen() == 0)
    old = sorted((one for one in resolved if at - one.created_at > MIN_RETENTION), key=lambda one: one.created_at)
    archived = old[: max(0, len(line.holds) - MAX_HOLDS)]
    if not archived:
        return line
    until = archived[-1].created_at
    return replace(
        line,
        holds=tuple(one for one in line.holds if one not in archived),
        archived_until=max(until, line.archived_until or until),
    )


def _with_hold(line: CreditLine, changed: Hold) -> CreditLine:
    return replace(line, holds=tuple(changed if one.id == changed.id else one for one in line.holds))


def _changed(transfer_id: str) -> TransferChanged:
    return TransferChanged(
        zh="同一编号已用于其他金额或用途。", en=f"Id {transfer_id} was used before with another amount or purpose."
    )


def _resolved(hold: Hold) -> HoldResolved:
    state = "expired" if hold.state == "held" else hold.state
    return HoldResolved(zh="该笔预留额度已处理完毕。", en=f"Hold {hold.id} is already {state}.", state=state)

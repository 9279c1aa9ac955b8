"""Pay-later arithmetic that several services share: two-phase credit within a limit.

Credit is first held, then posted up to what was held, or voided, or it expires: the phases are those of TigerBeetle's
pending transfers. All ids are the caller's; doing the same again changes nothing, and doing something else under the
same id is refused. One account is one Document, so that a conditional write of it makes each step whole: under any
interleaving the limit is kept. Everything here is pure; amounts are in fen.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import Problem
from backend.store import Document

MAX_HOLDS = 200
"""How many holds an account keeps before those that are over are archived."""

MIN_RETENTION = timedelta(days=1)
"""No hold is archived sooner: what was interrupted is finished within a day, or found by an operator."""

HoldState = Literal["held", "posted", "voided", "expired"]
Movement = Literal["repay", "release", "return"]


class CreditExhausted(Problem):
    """The limit does not leave this much."""

    status, title = 409, "Credit limit reached"


class TransferChanged(Problem):
    """The same id was used before for something else."""

    status, title = 409, "Transfer changed"


class HoldResolved(Problem):
    """The hold was posted, voided or expired before, and that stands."""

    status, title = 409, "Hold resolved"


class HoldArchived(Problem):
    """The hold is from a time of which all holds are archived; it cannot be applied again."""

    status, title = 409, "Hold archived"


class UnknownHold(Problem):
    """The account has no such hold."""

    status, title = 404, "Unknown hold"


class HoldExceeded(Problem):
    """More was to be posted, or taken back, than was held or posted."""

    status, title = 409, "Beyond the hold"


class Overtaken(Exception):
    """Somebody with a later edition has acted on this hold already; read again what is to be done."""


class Transfer(Struct, frozen=True, gc=False):
    """A movement of a posted hold: debt that was repaid, was released without payment, or money returned after it."""

    id: str
    kind: Movement
    amount_fen: int
    at: datetime


class Hold(Struct, frozen=True, gc=False):
    """Credit set aside at `made_at` for one purpose, until `expires_at`.

    `wanted_fen` was asked for, `amount_fen` was granted. A hold `over_limit` the limit is an exception, and is counted
    apart from what is within it. `edition` is the caller's own count of what it has decided about the hold.
    """

    id: str
    wanted_fen: int
    amount_fen: int
    made_at: datetime
    expires_at: datetime
    over_limit: bool = False
    edition: int = 0
    state: HoldState = "held"
    posted_fen: int = 0
    transfers: tuple[Transfer, ...] = ()

    def held_fen(self, at: datetime) -> int:
        """Give what is set aside at an instant and neither posted nor given back."""
        return self.amount_fen if self.state == "held" and at < self.expires_at else 0

    def moved_fen(self, kind: Movement) -> int:
        """Give the sum of the movements of a kind."""
        return sum(transfer.amount_fen for transfer in self.transfers if transfer.kind == kind)

    def due_fen(self) -> int:
        """Give what was posted and not released: the debt as it was to be paid."""
        return self.posted_fen - self.moved_fen("release")

    def owed_fen(self) -> int:
        """Give what is still to be paid; negative while more was paid than the debt is now."""
        return self.due_fen() - self.moved_fen("repay") + self.moved_fen("return")


class CreditAccount(Document, kw_only=True):
    """What one person may owe for one purpose, and every hold of it that is not archived, oldest first.

    Holds made at `archived_until` or before are archived, unless they stand here.
    """

    collection: ClassVar[str] = "credit_accounts"

    limit_fen: int
    holds: tuple[Hold, ...] = ()
    archived_until: datetime | None = None

    def held_fen(self, at: datetime) -> int:
        """Give what is set aside within the limit."""
        return sum(hold.held_fen(at) for hold in self.holds if not hold.over_limit)

    def used_fen(self) -> int:
        """Give what is owed within the limit."""
        return sum(max(0, hold.owed_fen()) for hold in self.holds if not hold.over_limit)

    def over_limit_fen(self, at: datetime) -> int:
        """Give what is set aside or owed beyond the limit, as exceptions."""
        return sum(hold.held_fen(at) + max(0, hold.owed_fen()) for hold in self.holds if hold.over_limit)

    def free_fen(self, at: datetime) -> int:
        """Give what may still be held; never negative, even where the limit was lowered below what is owed."""
        return max(0, self.limit_fen - self.held_fen(at) - self.used_fen())

    def find(self, hold_id: str) -> Hold | None:
        """Give a hold by its id, or None."""
        return next((hold for hold in self.holds if hold.id == hold_id), None)


def hold(
    account: CreditAccount,
    hold_id: str,
    wanted_fen: int,
    *,
    made_at: datetime,
    expires_at: datetime,
    at: datetime,
    partly: bool = False,
    over_limit: bool = False,
) -> CreditAccount:
    """Set credit aside, if the limit leaves it; `partly` takes what it leaves, `over_limit` does not ask.

    `made_at` is when the id was made, the same each time it is tried. Raises CreditExhausted, TransferChanged or
    HoldArchived.
    """
    assert wanted_fen >= 0, "credit is never negative"
    known = account.find(hold_id)
    if known is not None:
        if (known.wanted_fen, known.over_limit) != (wanted_fen, over_limit):
            raise _changed(hold_id)
        return account
    if account.archived_until is not None and made_at <= account.archived_until:
        raise HoldArchived(
            Text(zh="该笔额度已归档，不能再次使用。", en=f"The hold {hold_id} is archived and cannot be applied again.")
        )
    free_fen = account.free_fen(at)
    if wanted_fen > free_fen and not (partly or over_limit):
        raise CreditExhausted(
            Text(zh="信用额度不足。", en="The credit limit does not leave this much."),
            wanted_fen=wanted_fen,
            free_fen=free_fen,
        )
    granted_fen = wanted_fen if over_limit else min(wanted_fen, free_fen)
    made = Hold(hold_id, wanted_fen, granted_fen, made_at, expires_at, over_limit)
    return archive(replace(account, holds=(*account.holds, made)), at)


def post(account: CreditAccount, hold_id: str, amount_fen: int, at: datetime) -> CreditAccount:
    """Make a part of a hold, or all of it, a debt; the rest is free again.

    Raises UnknownHold, BeyondHold, HoldResolved (an expired hold is resolved) or TransferChanged.
    """

    def posted(known: Hold) -> Hold:
        if known.state == "posted":
            if known.posted_fen != amount_fen:
                raise _changed(hold_id)
            return known
        if known.state != "held" or at >= known.expires_at:
            raise _resolved(known)
        if not 0 <= amount_fen <= known.amount_fen:
            raise HoldExceeded(
                Text(zh="入账金额超过预留额度。", en=f"{amount_fen} fen are more than the {known.amount_fen} held.")
            )
        return replace(known, state="posted", posted_fen=amount_fen)

    return _with(account, hold_id, posted)


def void(account: CreditAccount, hold_id: str, at: datetime) -> CreditAccount:
    """Give a hold back unused. Raises UnknownHold or HoldResolved."""

    def voided(known: Hold) -> Hold:
        if known.state == "voided":
            return known
        if known.state != "held" or at >= known.expires_at:
            raise _resolved(known)
        return replace(known, state="voided")

    return _with(account, hold_id, voided)


def expire(account: CreditAccount, at: datetime) -> CreditAccount:
    """Note which holds have expired. They counted no more since they did."""
    late = {known.id for known in account.holds if known.state == "held" and at >= known.expires_at}
    if not late:
        return account
    return replace(
        account,
        holds=tuple(replace(known, state="expired") if known.id in late else known for known in account.holds),
    )


def move(
    account: CreditAccount, hold_id: str, transfer_id: str, kind: Movement, amount_fen: int, at: datetime
) -> CreditAccount:
    """Repay a debt, release it without payment, or note that money was returned, once for this transfer id.

    No more is released than was posted, and no more returned than was repaid. Raises UnknownHold, HoldResolved for a
    hold that was not posted, BeyondHold or TransferChanged.
    """

    def moved(known: Hold) -> Hold:
        before = next((transfer for transfer in known.transfers if transfer.id == transfer_id), None)
        if before is not None:
            if (before.kind, before.amount_fen) != (kind, amount_fen):
                raise _changed(transfer_id)
            return known
        if known.state != "posted":
            raise _resolved(known)
        most = {
            "repay": max(0, known.owed_fen()),
            "release": known.due_fen(),
            "return": known.moved_fen("repay") - known.moved_fen("return"),
        }[kind]
        if not 0 < amount_fen <= most:
            raise HoldExceeded(
                Text(zh="金额超过可结清的部分。", en=f"{amount_fen} fen are more than the {most} that can be moved.")
            )
        return replace(known, transfers=(*known.transfers, Transfer(transfer_id, kind, amount_fen, at)))

    return _with(account, hold_id, moved)


def overtake(account: CreditAccount, hold_id: str, edition: int) -> CreditAccount:
    """Note that what follows is the caller's decision of this edition. Raises Overtaken after a later one.

    So a slow process cannot carry out what a faster one has decided anew meanwhile. Raises UnknownHold.
    """

    def overtaken(known: Hold) -> Hold:
        if known.edition > edition:
            raise Overtaken(f"{hold_id} is at edition {known.edition}, not {edition}")
        return known if known.edition == edition else replace(known, edition=edition)

    return _with(account, hold_id, overtaken)


def archive(account: CreditAccount, at: datetime) -> CreditAccount:
    """Let go of the oldest holds that are over, where there are too many; they cannot be applied again."""
    spare = len(account.holds) - MAX_HOLDS
    over = [known for known in account.holds if _over(known, at)]
    gone = sorted(over, key=lambda known: known.made_at)[: max(0, spare)]
    if not gone:
        return account
    until = max(known.made_at for known in gone)
    names = {known.id for known in gone}
    return replace(
        account,
        holds=tuple(known for known in account.holds if known.id not in names),
        archived_until=max(until, account.archived_until or until),
    )


def _over(known: Hold, at: datetime) -> bool:
    resolved = known.state in ("voided", "expired") or (known.state == "posted" and known.owed_fen() == 0)
    return resolved and at - known.made_at > MIN_RETENTION


def _with(account: CreditAccount, hold_id: str, change: Callable[[Hold], Hold]) -> CreditAccount:
    known = account.find(hold_id)
    if known is None:
        raise UnknownHold(Text(zh="没有该笔预留额度。", en=f"The account has no hold {hold_id}."))
    changed = change(known)
    if changed is known:
        return account
    return replace(account, holds=tuple(changed if one is known else one for one in account.holds))


def _changed(transfer_id: str) -> TransferChanged:
    return TransferChanged(
        Text(zh="同一编号的金额或用途不同。", en=f"The id {transfer_id} was used before for something else.")
    )


def _resolved(known: Hold) -> HoldResolved:
    state = "expired" if known.state == "held" else known.state
    return HoldResolved(Text(zh="该笔额度已处理完毕。", en=f"The hold {known.id} is {state}."), state=state)

"""Events that need a second person: which these are, and how they are approved, rejected or expire.

An officer alone turns nobody red by a word, and nobody green. What a laboratory found in a sample, and what a register
knows of a case, has effect at once, up to a bound per day. So has a case or a positive test that an office reports: the
law lets nobody wait for it. An event about its own reporter needs a second person unless it can only harm them.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from backend.problems import NotFound, Problem
from backend.security.identity import Caller
from backend.services.health_code.model import HealthEventReceipt, Proposal
from backend.services.health_code.reports import (
    CaseEnded,
    CaseReported,
    ContactReported,
    Event,
    FalseStatementFound,
    IsolationEnded,
    IsolationOrdered,
    SampleTested,
    Withdrawal,
)
from backend.services.health_code.sources import SourceKind, second_person_required
from backend.store.time import to_ms

TWO_OFFICERS = (ContactReported, IsolationOrdered, IsolationEnded, FalseStatementFound, CaseEnded, Withdrawal)
"""Events of an office that always need a second person."""

PROPOSAL_LIFETIME = timedelta(days=3)
"""How long a proposed event waits. Assumed, in force from 29 November 2026: an older finding must be checked again."""

WITHDRAWAL_LIFETIME = timedelta(days=30)
"""How long a proposed withdrawal waits: longer, since an expired one leaves a wrong report in force."""

DECISION_TIMEOUT = timedelta(seconds=30)
"""An approved event that is not applied by then was interrupted, and is due for the sweep."""


class ProposalClosed(Problem):
    """The event was proposed, and was rejected or expired; it must be reported under a new id."""

    status, title_zh = 409, "该报告已被退回或已过期"


def reason_for_second_person(
    kind: SourceKind, event: Event | Withdrawal, *, is_own: bool, within_bounds: bool
) -> Literal["kind", "bulk", "own"] | None:
    """Return why an event needs a second person, or None if it has effect at once."""
    if needs_two_people(kind, event):
        return "kind"
    if is_own and not _is_adverse(event):
        return "own"
    return None if within_bounds else "bulk"


def needs_two_people(kind: SourceKind, event: Event | Withdrawal) -> bool:
    """Return whether two people of an office must report an event of this kind, however few there are."""
    is_negative = isinstance(event, SampleTested) and event.result == "negative"
    return kind == "office" and (is_negative or isinstance(event, TWO_OFFICERS))


def _is_adverse(event: Event | Withdrawal) -> bool:
    """Return whether an event can only be to the disadvantage of its person."""
    return isinstance(event, CaseReported) or (isinstance(event, SampleTested) and event.result == "positive")


def proposed(receipt: HealthEventReceipt, proposal: Proposal) -> HealthEventReceipt:
    """Return a new receipt as a proposal, due when it expires."""
    lifetime = PROPOSAL_LIFETIME if proposal.withdraws is None else WITHDRAWAL_LIFETIME
    return replace(
        receipt,
        state="proposed",
        proposal=proposal,
        withdraws=None,
        proposed_ms=to_ms(proposal.at),
        due_ms=to_ms(proposal.at + lifetime),
    )


def approve(receipt: HealthEventReceipt, caller: Caller, now: datetime) -> HealthEventReceipt:
    """Return an accepted receipt, due to be applied. Raises NotFound or SecondPersonRequired."""
    proposal = _open_proposal(receipt, now)
    if caller.citizen_id is None or proposal.person == caller.citizen_id or proposal.account == caller.account_id:
        raise second_person_required()
    _check_unconcerned(receipt, caller)
    due_ms = to_ms(now + DECISION_TIMEOUT)
    return replace(receipt, state="accepted", withdraws=proposal.withdraws, proposed_ms=None, due_ms=due_ms)


def reject(receipt: HealthEventReceipt, caller: Caller, now: datetime) -> HealthEventReceipt:
    """Return a rejected receipt; proposers may reject their own. Raises NotFound or SecondPersonRequired."""
    _open_proposal(receipt, now)
    _check_unconcerned(receipt, caller)
    return closed(receipt, "rejected")


def closed(receipt: HealthEventReceipt, state: Literal["rejected", "expired", "withdrawn"]) -> HealthEventReceipt:
    """Return the receipt of a proposal that never takes effect, without its content."""
    return replace(receipt, state=state, applied=True, event=None, sample=None, proposed_ms=None, due_ms=None)


def may_take_back(receipt: HealthEventReceipt, caller: Caller) -> bool:
    """Return whether the caller may withdraw alone what they proposed themselves and nobody has approved."""
    proposal = receipt.proposal
    is_open = receipt.state in ("proposed", "withdrawn")
    return is_open and proposal is not None and proposal.person == caller.citizen_id


def proposal_closed() -> ProposalClosed:
    """Return the Problem for an event that is sent again after it was rejected or has expired."""
    return ProposalClosed(
        zh="该报告已被退回或已过期；如仍须报告，请核实后使用新的编号。",
        en="This report was rejected or has expired. If it is still needed, check it and use a new id.",
    )


def _open_proposal(receipt: HealthEventReceipt, now: datetime) -> Proposal:
    if (
        receipt.state != "proposed"
        or receipt.proposal is None
        or receipt.due_ms is None
        or receipt.due_ms <= to_ms(now)
    ):
        raise no_proposal()
    return receipt.proposal


def _check_unconcerned(receipt: HealthEventReceipt, caller: Caller) -> None:
    if caller.citizen_id is None or receipt.person == caller.citizen_id:
        raise second_person_required()


def no_proposal() -> NotFound:
    """Return the Problem for a proposal that does not exist or was decided."""
    return NotFound(
        zh="没有待审核的报告，可能已被处理，请刷新列表。",
        en="There is no such proposal; it may have been decided. Load the list again.",
    )

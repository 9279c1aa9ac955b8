"""Money that goes out: instalments are paid one after the other, each by one payout of the bank."""

from datetime import datetime

from msgspec.structs import replace

from backend.benefits.claim import C, Claim, ClaimInstalment, cancel_remaining, notify, prepare_entry
from backend.benefits.ports import PayoutBank
from backend.benefits.process import RETRY_INTERVAL, next_payable
from backend.benefits.service import AnyBenefits
from backend.benefits.terms import Terms
from backend.city.service import City
from backend.city.upstream import BankAnswer, UpstreamTimeout, with_timeout


def request_payout(claim: C, now: datetime, _term: Terms) -> C:
    """Record that the bank is asked to pay the next instalment."""
    index = next_payable(claim, now)
    assert index is not None, "there is an instalment to pay"
    instalment = claim.instalments[index]
    payout = f"{claim.id}/payout/{index + 1}/{instalment.attempts + 1}"
    return _with_instalment(claim, index, replace(instalment, state="requested", payout=payout, requested_at=now))


async def send_payout(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Request the recorded payout, and record the answer. Raises UpstreamTimeout or UpstreamRejected."""
    index = claim.pending_instalment()
    if index is None:
        return claim
    instalment, account = claim.instalments[index], await account_number(benefits, city, claim)
    answer = await with_timeout(city.port(PayoutBank).pay_out(instalment.payout, account, instalment.amount_fen))
    return apply_payout_answer(claim, instalment.payout, answer, now, benefits.terms(city, now))


async def look_up_payout(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Query the state of a payout; request it again under the same id if the bank never received it."""
    index = claim.pending_instalment()
    assert index is not None, "an instalment is with the bank"
    answer = await with_timeout(city.port(PayoutBank).look_up(claim.instalments[index].payout))
    if answer.outcome == "unknown":
        changed = await send_payout(benefits, city, claim, now)
    else:
        changed = apply_payout_answer(claim, claim.instalments[index].payout, answer, now, benefits.terms(city, now))
    if changed is claim:
        raise UpstreamTimeout("the bank has not decided yet")
    return changed


async def account_number(benefits: AnyBenefits, city: City, claim: Claim) -> str:
    """Return the number of the account for payouts. Claims of earlier editions do not have it, but their claimants."""
    account = claim.account
    if account is None:
        claimant = await city.store.get(benefits.claimant, claim.subject)
        account = claimant.account if claimant is not None else None
    assert account is not None, "money is claimed with an account only"
    return city.encryption.decrypt(account)


def apply_payout_answer(claim: C, payout: str, answer: BankAnswer, now: datetime, term: Terms) -> C:
    """Record the bank's decision on a payout; only the first decision has an effect."""
    index = claim.pending_instalment()
    if index is None or claim.instalments[index].payout != payout or answer.outcome in ("pending", "unknown"):
        return claim
    instalment = claim.instalments[index]
    claim = replace(claim, failures=0)
    if answer.outcome == "done":
        paid = replace(instalment, state="paid", paid_at=now, receipt=answer.receipt)
        paying = prepare_entry(_with_instalment(claim, index, paid), "pay", instalment.amount_fen, now)
        return notify(paying, "paid", instalment.amount_fen, now)
    attempts = instalment.attempts + 1
    retried = replace(instalment, state="open", attempts=attempts, retry_at=now + RETRY_INTERVAL)
    reopened = _with_instalment(claim, index, retried)
    if claim.paid_fen == 0 and instalment.milestone == 0:
        return cancel_remaining(reopened, now, "failed")
    if attempts >= term("payout_tries"):
        return cancel_remaining(reopened, now, "cancelled")
    return notify(reopened, "payout_failed", instalment.amount_fen, now)


def change_account(claim: C, account: str | None) -> C:
    """Pay to another account from now on; failed payouts are retried at once instead of a day later."""
    instalments = tuple(replace(one, retry_at=None) if one.state == "open" else one for one in claim.instalments)
    return replace(claim, account=account, instalments=instalments)


def _with_instalment(claim: C, index: int, instalment: ClaimInstalment) -> C:
    return replace(claim, instalments=(*claim.instalments[:index], instalment, *claim.instalments[index + 1 :]))

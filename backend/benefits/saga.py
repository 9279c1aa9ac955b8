"""The saga of a claim: its whole process on one page, from the claim to the last fen paid or paid back.

`process` decides which step is next.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Generic

from msgspec.structs import replace

from backend.benefits.audits import audit_claim, reduce_open_instalments
from backend.benefits.claim import C, cancel_remaining
from backend.benefits.notifications import send_notification
from backend.benefits.problems import AlreadyClaimed
from backend.benefits.process import Step, next_step, schedule
from backend.benefits.reservations import post_entry, register, reserve, unblock, withdraw_deleted
from backend.benefits.service import AnyBenefits, Benefits, P
from backend.benefits.terms import Terms
from backend.benefits.transfers import look_up_transfer, request_collection, request_payout, send_transfer
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.jobs.saga import Decision, Request, Saga


class ClaimSaga(Saga[City, C, Terms, Step], Generic[C, P], frozen=True, kw_only=True):
    """The saga of the claims to a service's benefits."""

    benefits: Benefits[C, P]

    async def start(self, context: City, document: C) -> C:
        """Store a draft, as a saga does, together with the reservation that its registration applies.

        A draft that would join the waiting list, or whose benefit is no longer available, has no reservation.
        """
        reserving = await reserve(self.benefits, context, document, context.now())
        draft = document if reserving.entry is None else replace(reserving, state="draft")
        return await super().start(context, draft)

    async def resume(self, context: City, document_id: str) -> C | None:
        """Carry out the due steps of a claim, as a saga does; return None if another claim precludes its draft."""
        with suppress(AlreadyClaimed):  # it was interrupted before it was registered, and another one was registered
            return await super().resume(context, document_id)
        return None

    async def run(
        self, context: City, document: C, request: Request[City, C, Terms] | Decision[C, Terms] | None = None
    ) -> C | None:
        """Carry out the due steps of a claim, as a saga does; return None if another process has deleted its draft."""
        advanced = await super().run(context, document, request)
        if advanced is None:
            await withdraw_deleted(self.benefits, context, document)
        return advanced

    async def decide(self, city: City, claim: C, decide: Callable[[C, datetime], C]) -> C:
        """Change a claim as somebody decides now, and carry out the steps that follow. Raises what `decide` raises."""
        return await self.advance(city, claim, Decision(lambda claim, now, _term: decide(claim, now)))

    async def advance(
        self, city: City, claim: C, request: Request[City, C, Terms] | Decision[C, Terms] | None = None
    ) -> C:
        """Carry out the due steps of a registered claim, after what somebody requests or decides now, as `run` does."""
        advanced = await self.run(city, claim, request)
        assert advanced is not None, "a registered claim is never deleted"
        return advanced


def claim_saga(benefits: Benefits[C, P]) -> ClaimSaga[C, P]:
    """Return the saga of the claims to a service's benefits."""
    return ClaimSaga(
        benefits=benefits,
        kind=benefits.claim,
        next_step=next_step,
        schedule=schedule,
        terms=benefits.terms,
        task=benefits.advance_claim,
        unavailable=(UpstreamTimeout, UpstreamRejected),
        steps={
            Step.REGISTER: partial(register, benefits),
            Step.RESERVE: partial(reserve, benefits),
            Step.POST_ENTRY: partial(post_entry, benefits),
            Step.PAY: Request(request_payout, partial(send_transfer, benefits)),
            Step.LOOK_UP_TRANSFER: partial(look_up_transfer, benefits),
            Step.CHECK_PROGRESS: partial(check_progress, benefits),
            Step.CANCEL: Decision(lambda claim, now, _term: cancel_remaining(claim, now, "cancelled")),
            Step.AUDIT: partial(audit_claim, benefits),
            Step.REDUCE: Decision(reduce_open_instalments),
            Step.COLLECT: Request(request_collection, partial(send_transfer, benefits)),
            Step.UNBLOCK: partial(unblock, benefits),
            Step.NOTIFY: partial(send_notification, benefits),
        },
    )


async def check_progress(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Query the progress of a claim; instalments that are due by it are paid next."""
    return replace(claim, progress=await benefits.progress(city, claim), progress_checked_at=now, failures=0)

"""Background work of releases: make reviews, settle activations whose instant has come, delete old reviews."""

from datetime import timedelta

from backend.city.releases import settle_activation
from backend.city.service import City
from backend.jobs.tasks import MAX_SWEEP_SECONDS, background
from backend.services.rules.model import RulebookReview
from backend.services.rules.reviews import complete_review
from backend.store.due import Due, drain, ended
from backend.store.expiry import delete_expired

RETRY_AFTER = timedelta(minutes=10)
"""A review that is not made by then was interrupted, and the sweep has it made."""


@background(max_seconds=MAX_SWEEP_SECONDS)
async def make_review(city: City, review_id: str) -> None:
    """Make the parts of a review that was requested, unless that is done."""
    review = await city.store.get(RulebookReview, review_id)
    if review is not None:
        await complete_review(city, review)


INTERRUPTED = Due(RulebookReview, "due_ms", lambda now: now - RETRY_AFTER)


@background(every=timedelta(minutes=5), due=(INTERRUPTED, ended(RulebookReview)))
async def sweep_reviews(city: City) -> None:
    """Have interrupted reviews made, and delete those whose retention has ended."""

    async def make(review: RulebookReview) -> None:
        await make_review.enqueue_once(city.jobs, review.id)

    await drain(city, INTERRUPTED, make)
    await delete_expired(city, RulebookReview)


@background(every=timedelta(seconds=5))
async def sweep_activations(city: City) -> None:
    """Record a scheduled activation whose instant has come, so that no clock can undo it."""
    await settle_activation(city.store, city.now())

"""What a benefit service holds on a person, and what must be settled before they close their account."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from backend.benefits.claim import Claim, Claimant
from backend.city.personal_data import naming_person, once_settled
from backend.city.service import City, OpenMatter, Subject
from backend.i18n import Text, yuan

PUBLIC_MONEY = Text(
    zh="补贴发放记录须备查，并防止同一补贴重复申领。",
    en="Payments of public money must stay verifiable, and a benefit is not claimed twice.",
)


def open_claims(kind: type[Claim]) -> Callable[[City, Subject], Awaitable[list[OpenMatter]]]:
    """Return the function that finds the claims of a person that are not settled."""
    claims = naming_person(kind, "subject")

    async def open_matters(city: City, subject: Subject) -> list[OpenMatter]:
        return [matter async for claim in claims(city, subject) if (matter := _open_matter(claim)) is not None]

    return open_matters


def _open_matter(claim: Claim) -> OpenMatter | None:
    """Return what is open of a claim, or None."""
    open_fen = claim.sum_fen("open", "requested")
    if claim.owed_fen > 0:
        text = Text(zh="“{title}”有{yuan}元须退还，请先退还。", en="First pay back {yuan} yuan: {title}.")
        amount_fen = claim.owed_fen
    elif open_fen > 0:
        text = Text(
            zh="“{title}”还有{yuan}元待发放，请等待发放完毕。",
            en="{yuan} yuan are still to be paid to you; wait until they are: {title}.",
        )
        amount_fen = open_fen
    elif not claim.is_settled() and claim.state not in ("failed", "withdrawn"):
        text = Text(zh="“{title}”尚未办结，请等待办结。", en="Wait until the claim is settled: {title}.")
        amount_fen = 0
    else:
        return None
    return OpenMatter(text.format(title=claim.title, yuan=yuan(amount_fen)), amount_fen or None)


def with_last_claim(kind: type[Claim]) -> Callable[[City, Claimant, datetime], Awaitable[datetime | None]]:
    """Return the function that keeps a claimant as long as a claim: they know which benefits exclude others."""
    claims = naming_person(kind, "subject")

    async def keep_until(city: City, claimant: Claimant, now: datetime) -> datetime | None:
        ends = [await once_settled(city, claim, now) async for claim in claims(city, Subject("", claimant.id))]
        return max((end for end in ends if end is not None), default=None)

    return keep_until

"""Reviews: what the server finds out about a release against the one in force, before anybody may approve it.

A review is bound to both digests. If another release is put in force meanwhile, the next look requests another review.
"""

import hashlib
import logging
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from backend.city.releases import RulebookRelease, digest_in_force, released_rulebook
from backend.city.service import City
from backend.i18n import Text
from backend.jobs.tasks import TaskReference
from backend.rulebook import InvalidRulebook, Rulebook
from backend.services.rules.model import PARTS, PartName, ReviewPart, RulebookReview, new_review, review_id
from backend.services.rules.review_parts import MAKERS, PartUnavailable
from backend.store.update import insert_or_get, update_document

_make_review = TaskReference("rules.make_review")
_log = logging.getLogger("chengma.rules")


async def request_review(city: City, digest: str) -> RulebookReview:
    """Return the review of a release against the one in force; if there is none, have it made in the background."""
    compared_with = await digest_in_force(city.store, city.now()) or city.rulebook.digest
    found = await city.store.get(RulebookReview, review_id(digest, compared_with))
    if found is None:
        found = await insert_or_get(city.store, new_review(digest, compared_with, city.now()))
        await _make_review.enqueue(city.jobs, found.id)
    return found


async def complete_review(city: City, review: RulebookReview) -> None:
    """Make all parts of a review and store them. Of two processes that make them, the first decides."""
    if review.made is not None:
        return
    parts = await _make_parts(city, review)

    def completed(found: RulebookReview) -> RulebookReview:
        return found if found.made is not None else replace(found, parts=parts, made=city.now(), due_ms=None)

    await update_document(city.store, lambda: city.store.get(RulebookReview, review.id), completed)


async def _make_parts(city: City, review: RulebookReview) -> tuple[ReviewPart, ...]:
    try:
        old, new = await _rulebook(city, review.compared_with), await _rulebook(city, review.release)
    except InvalidRulebook as error:
        fault = error.faults[0]
        failure = Text(
            zh=f"系统当前版本无法使用其中一版规则：{fault.message.zh}",
            en=f"This edition of the city cannot use one of the releases: {fault.message.en}",
        )
        return tuple(ReviewPart(name, failure=failure) for name in PARTS)
    except PartUnavailable as error:
        return tuple(ReviewPart(name, failure=error.text) for name in PARTS)
    return tuple([await _make_part(city, name, old, new) for name in PARTS])


async def _make_part(city: City, name: PartName, old: Rulebook, new: Rulebook) -> ReviewPart:
    try:
        report = msgspec.json.encode(await MAKERS[name](city, old, new))
    except PartUnavailable as error:
        return ReviewPart(name, failure=error.text)
    except Exception:  # noqa: BLE001  a part that breaks must not keep the others from the approver
        _log.exception("the part %s of a review failed", name)
        failure = Text(zh="生成时出错，请联系系统管理员。", en="It failed; the server's log says why.")
        return ReviewPart(name, failure=failure)
    return ReviewPart(name, report.decode(), hashlib.sha256(report).hexdigest())


async def _rulebook(city: City, digest: str) -> Rulebook:
    """Return a release, or the process's own rules. Raises InvalidRulebook or PartUnavailable."""
    if digest == city.rulebook.digest:
        return city.rulebook
    if await city.store.get(RulebookRelease, digest) is None:
        raise PartUnavailable(
            Text(
                zh="用于比较的规则不是已提交的版本，而是另一进程自带的规则。",
                en="The rules to compare with are no release, but those of another process's own folder.",
            )
        )
    zone = ZoneInfo(city.settings.time_zone)
    return await released_rulebook(city.store, digest, city.rule_modules, zone, city.rulebook)

"""Submit, approve, activate and cancel a release; each is one write together with its act."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePath
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.audit_log import new_act, with_act
from backend.city.releases import (
    Activation,
    ActivationPending,
    RulebookPointer,
    RulebookRelease,
    read_pointer,
    released_rulebook,
    store_pointer,
    store_release,
    with_activation,
)
from backend.city.service import City
from backend.problems import NotFound
from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook, module_name
from backend.rulebook.needs import check_needs, facts_of
from backend.rulebook.source import files_of
from backend.security.identity import Caller
from backend.services.rules.model import (
    ActivationScheduled,
    InvalidRules,
    NothingScheduled,
    OtherClaims,
    PartName,
    RulebookApproval,
    RulebookReview,
    UnusableRelease,
    check_instant,
    check_seen,
    errors_of,
    not_approved,
    refuse_own_release,
    review_id,
    was_in_force,
)
from backend.services.rules.reviews import request_review
from backend.store import Order, Page
from backend.store.time import to_ms
from backend.store.update import insert_or_get, retry_on_conflict

PAGE = 20
INITIAL_NOTE = "首次施行前的规则 / The rules in force before the first activation"


async def check_rules(city: City, texts: Mapping[str, str], claims: Mapping[str, str]) -> Rulebook:
    """Check the texts of rule modules and of the claims about them, both by path, as `chengma rules check` does.

    Nothing is proved. Raises InvalidRules.
    """
    from backend.rulebook.prover.standing import read_claim_files  # not needed to start a process

    try:
        rulebook = await asyncio.to_thread(_checked_rulebook, city, _source_files(texts))
    except InvalidRulebook as error:
        raise _invalid_rules(error, "/files/") from error
    try:
        await asyncio.to_thread(read_claim_files, _source_files(claims), rulebook)
    except InvalidRulebook as error:
        raise _invalid_rules(error, "/claims/") from error
    return rulebook


async def submit_release(
    city: City, caller: Caller, texts: Mapping[str, str], claims: Mapping[str, str], note: str
) -> RulebookRelease:
    """Check rule modules and claims, store them as a release, and have it reviewed against the one in force.

    The digest is that of the same modules in a folder. Modules that are a release already keep its author, note and
    claims. Raises InvalidRules, or OtherClaims if there are claims and they are not those of the release.
    """
    rulebook = await check_rules(city, texts, claims)
    hashed = city.encryption.digest("reason", note)
    act = new_act(city, caller, "author", "rules.published", rulebook.digest, hashed)
    files, about = _source_files(texts), _source_files(claims)
    release = await store_release(city.store, files, rulebook, act.at, author=caller, note=note, claims=about, act=act)
    if about and release.claims != {name: file.text for name, file in about.items()}:
        raise OtherClaims(
            zh="同样的规则已经提交过，随附的主张与此不同。已提交的版本不再改变，请使用原来的版本。",
            en="These rules are a release already, with other claims. A release never changes; please use that one.",
            digest=release.id,
        )
    await request_review(city, release.id)
    return release


async def approve_release(
    city: City, caller: Caller, digest: str, seen: str, acknowledged: Mapping[PartName, str]
) -> RulebookApproval:
    """Approve a release of another person, whose review against the one in force the caller has `seen`, by its digest.

    `acknowledged` has a reason for each part of the review that could not be made. Raises NotFound, OwnRelease,
    ReviewPending, ReviewOutdated or ReviewIncomplete.
    """
    release = await find_release(city, digest)
    refuse_own_release(caller, release)
    review = await request_review(city, digest)
    parts = check_seen(review, seen, acknowledged)
    act = new_act(city, caller, "approver", "rules.approved", digest, review.digest)
    approval = RulebookApproval(
        id=review.id,
        release=digest,
        compared_with=review.compared_with,
        approver=caller.account_id,
        approver_person=caller.citizen_id or "",
        at=act.at,
        review=review.digest,
        seen=parts,
    )
    return await insert_or_get(city.store, with_act(approval, act))


async def activate(city: City, caller: Caller, digest: str, at: datetime | None) -> RulebookRelease:
    """Put an approved release of another person in force, now or `at` a later instant. One in force already stays.

    A release that was in force before is put in force again without another approval. The first activation stores the
    edition that it replaces as a release, so that it can be put in force again. Raises NotFound, OwnRelease,
    InvalidRequest, NotApproved, UnusableRelease or ActivationScheduled.
    """
    release, now = await find_release(city, digest), city.now()
    refuse_own_release(caller, release)
    check_instant(at, now)
    action = "rules.activated" if at is None else "rules.activation_scheduled"
    act = new_act(city, caller, "approver", action, digest, "" if at is None else str(to_ms(at)))
    entry = Activation(digest, at or now, caller.account_id)
    await _check_approved(city, await read_pointer(city.store), digest, now)
    await _check_usable(city, digest)

    async def write() -> None:
        pointer = await read_pointer(city.store)
        await _check_approved(city, pointer, digest, now)  # somebody else may have activated another one meanwhile
        changed = _with_activation(pointer, entry, now)
        if changed is not pointer:
            if pointer.in_force(now) is None:
                changed = replace(changed, initial=await _store_initial(city, now))
            await store_pointer(city.store, with_act(changed, act))

    await retry_on_conflict(write)
    return release


async def _store_initial(city: City, now: datetime) -> str:
    """Store the edition of this process's folder of rules as a release, and return its digest."""
    await store_release(city.store, files_of(city.rulebook.texts), city.rulebook, now, note=INITIAL_NOTE)
    return city.rulebook.digest


async def cancel(city: City, caller: Caller, digest: str) -> RulebookRelease:
    """Cancel the scheduled activation of a release. Raises NotFound or NothingScheduled."""
    release, now = await find_release(city, digest), city.now()
    act = new_act(city, caller, "approver", "rules.activation_cancelled", digest)

    async def write() -> None:
        pointer = await read_pointer(city.store)
        pending = pointer.pending(now)
        if pending is None or pending.digest != digest:
            raise NothingScheduled(
                zh="该版规则没有待施行的安排，或者已经施行。",
                en="No activation of this release is scheduled, or its instant has come.",
            )
        await store_pointer(city.store, with_act(replace(pointer, scheduled=None), act))

    await retry_on_conflict(write)
    return release


async def find_release(city: City, digest: str) -> RulebookRelease:
    """Return the release with this digest. Raises NotFound."""
    release = await city.store.get(RulebookRelease, digest)
    if release is None:
        raise NotFound(zh="没有找到该版规则。", en="There is no release with this digest.")
    return release


async def list_releases(city: City, cursor: str | None) -> Page[RulebookRelease]:
    """Return a page of releases, the newest first."""
    return await city.store.find(
        RulebookRelease, {}, order=Order("published_ms", "descending"), cursor=cursor, limit=PAGE
    )


async def find_review(city: City, digest: str) -> tuple[RulebookReview, RulebookApproval | None]:
    """Return the review of a release against the one in force, requested if need be, and its approval.

    Raises NotFound.
    """
    await find_release(city, digest)
    review = await request_review(city, digest)
    return review, await city.store.get(RulebookApproval, review.id)


async def _check_approved(city: City, pointer: RulebookPointer, digest: str, now: datetime) -> None:
    """Check that a release was in force before, or is approved against the one in force now. Raises NotApproved."""
    current = pointer.in_force(now)
    compared_with = city.rulebook.digest if current is None else current.digest
    if was_in_force(pointer.settled(now), digest):
        return
    if await city.store.get(RulebookApproval, review_id(digest, compared_with)) is None:
        raise not_approved(otherwise=await city.store.count(RulebookApproval, {"release": digest}) > 0)


def _with_activation(pointer: RulebookPointer, entry: Activation, now: datetime) -> RulebookPointer:
    """Return the pointer with an activation. Raises ActivationScheduled."""
    try:
        return with_activation(pointer, entry, now)
    except ActivationPending as pending:
        if pending.scheduled.digest == entry.digest:
            raise ActivationScheduled(
                zh="该版规则已定时施行；要提前或改期，请先取消定时施行，再重新施行。",
                en="This release is scheduled already. To put it in force earlier or later, cancel that first, "
                "then activate it again.",
                digest=pending.scheduled.digest,
                at=pending.scheduled.since,
            ) from pending
        raise ActivationScheduled(
            zh="已有另一版规则待施行；请等待其施行，或先取消。",
            en="Another release is scheduled; wait until it is in force, or cancel it first.",
            digest=pending.scheduled.digest,
            at=pending.scheduled.since,
        ) from pending


async def _check_usable(city: City, digest: str) -> None:
    zone = ZoneInfo(city.settings.time_zone)
    try:
        await released_rulebook(city.store, digest, city.rule_modules, zone, city.rulebook)
    except InvalidRulebook as error:
        raise UnusableRelease(
            zh="本系统当前版本无法使用该版规则，现行规则不变。",
            en="This edition of the city cannot use the release; the rules in force stay.",
            errors=errors_of(error.faults),
        ) from error


def _source_files(texts: Mapping[str, str]) -> dict[str, SourceFile]:
    sources = [SourceFile(path, texts[path], []) for path in sorted(texts, key=PurePath)]
    return {module_name(Path(), source): source for source in sources}


def _invalid_rules(error: InvalidRulebook, pointer_prefix: str) -> InvalidRules:
    return InvalidRules(
        zh="规则未通过检查，请按所列文件和行列修改后重新提交。",
        en="The rules have faults; please correct them where `errors` says, and submit them again.",
        errors=errors_of(error.faults, pointer_prefix),
    )


def _checked_rulebook(city: City, files: Mapping[str, SourceFile]) -> Rulebook:
    """Return a rulebook that the services can use. Raises InvalidRulebook."""
    rulebook = make_rulebook(files, facts_of(city.rule_modules), ZoneInfo(city.settings.time_zone), strict=True)
    check_needs(rulebook, city.rule_modules, "")
    rulebook.compile()
    return rulebook

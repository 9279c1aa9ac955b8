"""Submit a release and put it in force; each is one write together with its act."""

import asyncio
from collections.abc import Mapping
from pathlib import Path, PurePath
from zoneinfo import ZoneInfo

from backend.city.audit_log import new_act
from backend.city.releases import RulebookRelease, activate_release, released_rulebook, store_release
from backend.city.service import City
from backend.problems import NotFound
from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook, module_name
from backend.rulebook.needs import check_needs, facts_of
from backend.security.identity import Caller
from backend.services.rules.model import InvalidRules, UnusableRelease, errors_of, refuse_own_release
from backend.store import Order, Page

PAGE = 20


async def submit_release(city: City, caller: Caller, texts: Mapping[str, str], note: str) -> RulebookRelease:
    """Check the texts of rule modules, by path, as `chengma rules check` does, and store them as a release.

    The digest is that of the same files in a folder. Modules that are a release already keep its author and note.
    Raises InvalidRules.
    """
    sources = [SourceFile(path, texts[path], []) for path in sorted(texts, key=PurePath)]
    files = {module_name(Path(), source): source for source in sources}
    try:
        rulebook = await asyncio.to_thread(_checked_rulebook, city, files)
    except InvalidRulebook as error:
        raise InvalidRules(
            zh="规则未通过检查，请按所列文件和行列修改后重新提交。",
            en="The rules have faults; please correct them where `errors` says, and submit them again.",
            errors=errors_of(error.faults, "/files/"),
        ) from error
    hashed = city.encryption.digest("reason", note)
    act = new_act(city, caller, "author", "rules.published", rulebook.digest, hashed)
    return await store_release(city.store, files, rulebook, act.at, author=caller, note=note, act=act)


async def approve_release(city: City, caller: Caller, digest: str) -> RulebookRelease:
    """Put a release of another person in force. One that is in force already stays.

    Raises NotFound, OwnRelease or UnusableRelease, or Conflict if somebody else activates one at the same time.
    """
    release = await find_release(city, digest)
    refuse_own_release(caller, release)
    zone = ZoneInfo(city.settings.time_zone)
    try:
        await released_rulebook(city.store, digest, city.rule_modules, zone, city.rulebook)
    except InvalidRulebook as error:
        raise UnusableRelease(
            zh="本系统当前版本无法使用该版规则，现行规则不变。",
            en="This edition of the city cannot use the release; the rules in force stay.",
            errors=errors_of(error.faults),
        ) from error
    act = new_act(city, caller, "approver", "rules.activated", digest)
    await activate_release(city.store, digest, act.at, act=act)
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


def _checked_rulebook(city: City, files: Mapping[str, SourceFile]) -> Rulebook:
    """Return a rulebook that the services can use. Raises InvalidRulebook."""
    rulebook = make_rulebook(files, facts_of(city.rule_modules), ZoneInfo(city.settings.time_zone), strict=True)
    check_needs(rulebook, city.rule_modules, "")
    rulebook.compile()
    return rulebook

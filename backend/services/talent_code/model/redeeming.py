"""What partners honour: which entitlements a kind of partner may see, and how often a person may use one."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, get_args

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.services.talent_code.facts import BenefitFacts, Partner
from backend.services.talent_code.model.benefit import Judgement, benefit_names, judge
from backend.services.talent_code.model.problems import CodeNotHonoured, QuotaUsedUp, RedemptionChanged
from backend.store import Document, Index

PARTNERS: tuple[Partner, ...] = get_args(Partner)


class Use(Struct, frozen=True, gc=False):
    """That a benefit was used at a place; `code` names the one time that the code was shown."""

    redemption: str
    place: str
    at: datetime
    code: str


class Usage(Document, kw_only=True):
    """How a person used a benefit in a calendar year; the `id` follows from the three. It is forgotten soon after."""

    collection: ClassVar[str] = "benefit_usages"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    expires_ms: int
    uses: tuple[Use, ...] = ()

    def counted(self, use: Use) -> Use | None:
        """Give the use that was counted when the same was sent before, or None."""
        same = (use.redemption, use.place, use.code)
        return next((one for one in self.uses if (one.redemption, one.place, one.code) == same), None)


def usage_id(person: str, benefit: str, year: int) -> str:
    """Give the id of what a person used of a benefit in a year."""
    return f"{person}:{benefit}:{year}"


def partner_kind(place: str) -> Partner | None:
    """Tell what kind of partner a place is, whose name begins with it, as `park-xixi` does; None for any other."""
    kind = place.partition("-")[0]
    return next((one for one in PARTNERS if one == kind), None)


def services_for(
    rulebook: Rulebook, facts: BenefitFacts, at: datetime, kind: Partner | None = None
) -> Sequence[Judgement]:
    """Give the services that a person has now: all, or those that a kind of partner honours."""
    judged = [judge(rulebook, benefit, facts, at) for benefit in benefit_names(rulebook)]
    return [
        one
        for one in judged
        if one is not None
        and one.terms.gives == "service"
        and one.is_given
        and (kind is None or kind in one.terms.partners)
    ]


def left_of(usage: Usage | None, quota: int | None) -> int | None:
    """Give how often a benefit can still be used in the year; None for as often as wanted."""
    return None if quota is None else max(0, quota - (len(usage.uses) if usage is not None else 0))


def used(usage: Usage, use: Use, quota: int | None) -> Usage:
    """Note a use, once for each redemption of a place, and once for each time that a code is shown.

    Raises RedemptionChanged, CodeNotHonoured for a code that was used before, or QuotaUsedUp.
    """
    if usage.counted(use) is not None:
        return usage
    for one in usage.uses:
        if (one.redemption, one.place) == (use.redemption, use.place):
            raise RedemptionChanged(
                Text(zh="该核销编号已用于另一个码。", en="This redemption id was used for another code.")
            )
        if one.code == use.code:
            raise CodeNotHonoured(
                Text(zh="此码已使用过，请对方刷新后重新出示。", en="USED BEFORE. Ask for a fresh code."),
                outcome="replayed",
            )
    if left_of(usage, quota) == 0:
        raise QuotaUsedUp(Text(zh="本年度次数已用完。", en="The holder has used this as often as the year allows."))
    return replace(usage, uses=(*usage.uses, use))

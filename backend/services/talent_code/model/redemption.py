"""Use of services at partners, and how often a person may use one."""

from datetime import datetime
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.services.talent_code.model.problems import CodeNotAccepted, QuotaExhausted, RedemptionIdReused
from backend.store import Index
from backend.store.retention import Retention


class Use(Struct, frozen=True, gc=False):
    """One use of a benefit at a place; `code` identifies the code that was shown."""

    redemption: str
    place: str
    at: datetime
    code: str


class Usage(AuditedDocument, kw_only=True):
    """A person's uses of a benefit in a calendar year, which the `id` names. It is deleted at `expires_ms`."""

    collection: ClassVar[str] = "benefit_usages"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"), UNLOGGED)
    retention: ClassVar[Retention] = Retention(
        grows_with="each person, service and year",
        ends="`usage_days` of rules/talent_code/terms.yaml after the year",
        names="a person",
        ends_at="expires_ms",
    )

    expires_ms: int
    uses: tuple[Use, ...] = ()

    def find_duplicate(self, use: Use) -> Use | None:
        """Return the recorded use with the same redemption id, place and code, or None."""
        return next((one for one in self.uses if replace(one, at=use.at) == use), None)


def usage_id(person: str, benefit: str, year: int) -> str:
    """Return the id of a person's uses of a benefit in a year."""
    return f"{person}:{benefit}:{year}"


def remaining_uses(usage: Usage | None, quota: int | None) -> int | None:
    """Return how often a benefit can still be used in the year; None if it is unlimited."""
    return None if quota is None else max(0, quota - (len(usage.uses) if usage is not None else 0))


def record_use(usage: Usage, use: Use, quota: int | None) -> Usage:
    """Record a use, once per redemption id of a place and once per shown code.

    Raises RedemptionIdReused, CodeNotAccepted for a code that was used before, or QuotaExhausted.
    """
    if usage.find_duplicate(use) is not None:
        return usage
    for one in usage.uses:
        if (one.redemption, one.place) == (use.redemption, use.place):
            raise RedemptionIdReused(
                zh="该核销编号已用于另一个码，请换一个编号。",
                en="This redemption id was used for another code; please use a new one.",
            )
        if one.code == use.code:
            raise CodeNotAccepted(
                zh="此码已核销过，请对方刷新后重新出示。",
                en="USED BEFORE. Ask the holder to refresh and show again.",
                outcome="replayed",
            )
    if remaining_uses(usage, quota) == 0:
        raise QuotaExhausted(
            zh="持码人本年度次数已用完，下一年度可继续使用。",
            en="The holder has used this as often as allowed this year.",
        )
    return replace(usage, uses=(*usage.uses, use))

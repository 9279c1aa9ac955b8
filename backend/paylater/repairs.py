"""Resolve the differences of a reconciled day: one person accepts a repair, another approves it, a saga applies it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Literal, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from backend.city.audit_log import AuditedSaga
from backend.i18n import Text
from backend.jobs.saga import backoff
from backend.paylater.problems import NotAccepted, SamePerson
from backend.problems import NotFound
from backend.security.identity import Caller
from backend.store.time import to_ms

RETRY_DELAY = timedelta(minutes=1)
"""How long a sweep waits before it resumes approved repairs that were interrupted."""

ResolutionState = Literal["open", "accepted", "approved", "repaired", "failed"]
STATE_TITLES: dict[ResolutionState, str] = {
    "open": "待处理 · open",
    "accepted": "已受理 · accepted",
    "approved": "已批准 · approved",
    "repaired": "已修复 · repaired",
    "failed": "无法修复 · failed",
}


class Resolution(Struct, frozen=True):
    """The resolution of a difference: accepted by one person, approved by another, then repaired or failed.

    `accepted_by` and `approved_by` are accounts, `accepting_person` is the id of the Person who accepted.
    """

    state: ResolutionState = "open"
    accepted_by: str | None = None
    accepted_at: datetime | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    message: str | None = None
    accepting_person: str | None = None


class ReconciledDay(AuditedSaga, kw_only=True):
    """A day whose differences are resolved; a service adds them. `resolutions` are keyed by their ids."""

    not_repairable: ClassVar[Text]

    resolutions: dict[str, Resolution] = field(default_factory=dict[str, Resolution])

    def repairable(self) -> Mapping[str, bool]:
        """Return the ids of the differences, and whether each has a repair."""
        raise NotImplementedError

    def resolution(self, difference_id: str) -> Resolution:
        """Return the resolution of a difference."""
        return self.resolutions.get(difference_id, Resolution())


R = TypeVar("R", bound=ReconciledDay)


def accept_repairs(day: R, differences: Iterable[str], caller: Caller, now: datetime) -> R:
    """Accept the proposed repairs of differences. Raises NotFound or NotAccepted."""

    def accepted(key: str, resolution: Resolution) -> Resolution:
        if not day.repairable()[key] or resolution.state not in ("open", "failed"):
            raise NotAccepted(day.not_repairable, id=key)
        return Resolution("accepted", caller.account_id, now, accepting_person=caller.citizen_id)

    return _resolve(day, differences, accepted)


def approve_repairs(day: R, differences: Iterable[str], caller: Caller, now: datetime) -> R:
    """Approve repairs that another person accepted, from any account. Raises NotFound, NotAccepted or SamePerson."""

    def approved(key: str, resolution: Resolution) -> Resolution:
        if resolution.state != "accepted":
            raise NotAccepted(
                zh="该修复尚未被受理，不能审批。", en="This repair must be accepted before it is approved.", id=key
            )
        same_person = resolution.accepting_person is not None and resolution.accepting_person == caller.citizen_id
        if same_person or resolution.accepted_by == caller.account_id:
            raise SamePerson(
                zh="受理人与审批人不能为同一人。", en="Another person must approve what you accepted.", id=key
            )
        return replace(resolution, state="approved", approved_by=caller.account_id, approved_at=now)

    return _resolve(day, differences, approved)


def _resolve(day: R, differences: Iterable[str], change: Callable[[str, Resolution], Resolution]) -> R:
    resolutions = dict(day.resolutions)
    for key in differences:
        if key not in day.repairable():
            raise NotFound(zh="没有找到该差异。", en=f"This day has no difference {key}.")
        resolutions[key] = change(key, day.resolution(key))
    return replace(day, resolutions=resolutions)


def with_known_resolutions(day: R, known: R) -> R:
    """Return a day that was reconciled again, with the resolutions of the differences that remain."""
    kept = {key: resolution for key, resolution in known.resolutions.items() if key in day.repairable()}
    acts = (*known.acts, *day.acts)
    return replace(day, revision=known.revision, resolutions=kept, due_ms=known.due_ms, acts=acts)


def with_result(day: R, difference: str, message: str, *, worked: bool) -> R:
    """Record the result of a repair."""
    resolution = replace(day.resolution(difference), state="repaired" if worked else "failed", message=message)
    return replace(day, resolutions={**day.resolutions, difference: resolution}, failures=0)


def next_approved(day: ReconciledDay) -> str | None:
    """Return the id of the first difference whose approved repair is not applied yet."""
    return next((key for key in day.repairable() if day.resolution(key).state == "approved"), None)


def repair_step(day: ReconciledDay, _now: datetime, _terms: None) -> Literal["repair"] | None:
    """Return "repair" if a repair is due, or None: the `next_step` of the saga of a reconciled day."""
    return "repair" if next_approved(day) is not None else None


def schedule_repairs(day: R, now: datetime, _terms: None) -> R:
    """Set when a sweep resumes the repairs of a day."""
    if next_approved(day) is None:
        return replace(day, due_ms=None) if day.due_ms is not None else day
    return replace(day, due_ms=to_ms(now + max(backoff(day.failures), RETRY_DELAY)))

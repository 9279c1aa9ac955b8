"""Response bodies for hospitals: their reconciled days, without the officers who work on them."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from backend.paylater.repairs import ResolutionState
from backend.paylater.statement import TRANSFER_TITLES
from backend.services.medical_credit.model.reconciliation import (
    DIFFERENCE_TITLES,
    Difference,
    DifferenceKind,
    Reconciliation,
    RepairKind,
    Totals,
)

Upload = Literal["first", "repeated", "replaced"]

_CITY_REPAIRS = Text(
    zh="由城市处理；如贵院当日文件有误，请更正后重新上传。",
    en="The city repairs this. If your file is wrong, correct it and upload it again.",
)
_ADVICE: dict[RepairKind, Text] = {
    "contact_hospital": Text(
        zh="请核对本院记录，补发缺少的消息，或更正当日文件后重新上传。",
        en="Check your own records; send the missing message, or correct the file and upload it again.",
    ),
}
"""What the hospital does about a difference, by its repair; the city does all other repairs."""


class HospitalDifference(Struct, frozen=True):
    """A difference of a visit: the two amounts, None if a side has none, what differs, and the state of its repair.

    `subject` is the id of the line, settlement or payment. `advice` says what the hospital does about the difference.
    """

    id: str
    kind: DifferenceKind
    title: str
    visit_number: str
    subject: str
    ours_fen: int | None
    theirs_fen: int | None
    detail: Text | None
    repair: RepairKind
    advice: Text
    state: ResolutionState


class HospitalDay(Struct, frozen=True):
    """The reconciliation of a day of the hospital; `omitted` counts differences that were too many to store."""

    day: str
    created_at: datetime
    totals: Totals
    open_differences: int
    differences: list[HospitalDifference]
    omitted: int


class FiledDay(Struct, frozen=True):
    """A day after its file was uploaded; `upload` says whether the file is the first, the same again, or another."""

    upload: Upload
    reconciliation: HospitalDay


class HospitalDaySummary(Struct, frozen=True):
    """A reconciled day in a list."""

    day: str
    visits: int
    differences: int
    open_differences: int


class HospitalDayList(Struct, frozen=True):
    """The hospital's reconciled days, newest first, and the cursor of the next page; None after the last page."""

    days: list[HospitalDaySummary]
    cursor: str | None


def hospital_day(found: Reconciliation) -> HospitalDay:
    """Return a reconciled day as its hospital sees it."""
    differences = [_difference(found, one) for one in _own_differences(found)]
    open_ = sum(one.state != "repaired" for one in differences)
    return HospitalDay(found.day, found.created_at, found.totals, open_, differences, found.omitted)


def filed_day(found: Reconciliation, before: Reconciliation | None) -> FiledDay:
    """Return a day after its file was uploaded, compared with the file before."""
    upload: Upload = "first"
    if before is not None:
        upload = "repeated" if before.file_digest == found.file_digest else "replaced"
    return FiledDay(upload, hospital_day(found))


def hospital_day_summary(found: Reconciliation) -> HospitalDaySummary:
    """Return a reconciled day as it is shown in the hospital's list."""
    day = hospital_day(found)
    return HospitalDaySummary(found.day, found.totals.visits, len(day.differences), day.open_differences)


def _own_differences(found: Reconciliation) -> list[Difference]:
    """Return the differences but those between the city and its bank, which are no affair of the hospital."""
    return [one for one in found.differences if one.kind not in TRANSFER_TITLES]


def _difference(found: Reconciliation, one: Difference) -> HospitalDifference:
    return HospitalDifference(
        one.id,
        one.kind,
        DIFFERENCE_TITLES[one.kind],
        one.number,
        one.subject,
        one.ours_fen,
        one.theirs_fen,
        one.detail,
        one.repair,
        _ADVICE.get(one.repair, _CITY_REPAIRS),
        found.resolution(one.id).state,
    )

"""A settlement that the hospital made at the insurance itself: how it is reported and cancelled. Pure.

The city bills the person's cash share of it. It neither settles such a visit at the insurance nor cancels what the
hospital settled there: `Visit.awaited` says what the hospital must do and report.
"""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text, yuan
from backend.services.medical_credit.model import problems
from backend.services.medical_credit.model.visit import Settlement, Visit
from backend.services.medical_credit.ports import Split
from backend.store.time import to_ms

MAX_SETTLEMENTS = 50
"""How often a visit can be settled."""


class ReportSettlement(Struct, frozen=True):
    """Report that the hospital settled the visit at the insurance (2207, 2304), with all lines that it has sent.

    `split.settlement_id` is the setl_id, or the hospital's own number for a patient who is not insured. `registration`
    is the mdtrt_id, empty if the hospital does not send it.
    """

    split: Split
    at: datetime
    registration: str = ""


class ReportCancellation(Struct, frozen=True):
    """Report that the hospital cancelled its settlement at the insurance (2208, 2305)."""

    settlement_id: str


def is_reported(visit: Visit, command: ReportSettlement | ReportCancellation) -> bool:
    """Return whether a report was applied before. Raises SettlementChanged if it had other amounts."""
    if isinstance(command, ReportCancellation):
        return any(one.split.settlement_id == command.settlement_id for one in visit.cancelled_settlements)
    split = command.split
    known = next((one for one in visit.hospital_settlements() if one.split.settlement_id == split.settlement_id), None)
    if known is not None and known.split != split:
        raise problems.SettlementChanged(
            zh=f"结算号{split.settlement_id}重复，但金额不同。",
            en=f"Settlement {split.settlement_id} was already reported with other amounts.",
        )
    return known is not None


def apply_report(visit: Visit, command: ReportSettlement | ReportCancellation, now: datetime) -> Visit:
    """Return the visit after a report that was not applied before. Raises the Problem of one that does not fit."""
    if isinstance(command, ReportSettlement):
        return _with_settlement(visit, command, now)
    return _without_settlement(visit, command, now)


def _with_settlement(visit: Visit, command: ReportSettlement, now: datetime) -> Visit:
    """Return the visit with a settlement that is not reported yet; it ends a visit that is still open.

    Raises the Problem of a settlement that does not fit the visit.
    """
    split = command.split
    _check_settles(visit)
    _check_shares(split)
    if visit.settlement is not None:
        in_force = visit.settlement.split.settlement_id
        raise problems.VisitSettled(
            zh=f"该就诊的结算{in_force}仍然有效，请先撤销（2208或2305）并报送。",
            en=f"Settlement {in_force} of this visit is in force; cancel it first (2208 or 2305), and report that.",
        )
    if split.medfee_fen != visit.total_fen():
        raise problems.SettlementDiffers(
            zh=f"结算的医疗费总额为{yuan(split.medfee_fen)}元，我方收到的费用明细合计{yuan(visit.total_fen())}元。",
            en=f"The medical fee of the settlement is {yuan(split.medfee_fen)} yuan; "
            f"the lines of the visit total {yuan(visit.total_fen())} yuan.",
        )
    if len(visit.cancelled_settlements) >= MAX_SETTLEMENTS:
        raise problems.VisitSettled(
            zh=f"一次就诊最多结算{MAX_SETTLEMENTS}次。", en=f"A visit can be settled at most {MAX_SETTLEMENTS} times."
        )
    number = visit.attempts + 1
    settlement = Settlement(
        number, "", len(visit.lines), split, now, settled_at=command.at, registration=command.registration
    )
    if visit.closed_at is None:
        visit = replace(visit, closed_at=command.at, settle_at=now)
    settled_ms = to_ms(min(command.at, now))
    return replace(visit, attempts=number, settlement=settlement, settled_ms=settled_ms, due_ms=to_ms(now))


def _without_settlement(visit: Visit, command: ReportCancellation, now: datetime) -> Visit:
    """Return the visit without a settlement that the hospital cancelled; its bill awaits the next settlement.

    Raises UnknownSettlement if the settlement was not reported.
    """
    _check_settles(visit)
    settled = visit.settlement
    if settled is None or settled.split.settlement_id != command.settlement_id:
        raise problems.UnknownSettlement(
            zh=f"该就诊没有结算{command.settlement_id}。",
            en=f"Settlement {command.settlement_id} of this visit has not been reported.",
            settlement=command.settlement_id,
        )
    is_open = visit.closed_at is None and visit.cancelled_at is None
    return replace(
        visit,
        settlement=None,
        settled_ms=None,
        cancelled_settlements=(*visit.cancelled_settlements, settled),
        bill=None if is_open else visit.bill,
        due_ms=to_ms(now),
    )


def awaited_text(visit: Visit) -> Text | None:
    """Return what the hospital must do at the insurance and then report, as a sentence; None if nothing."""
    awaited, settled = visit.awaited(), visit.settlement
    if awaited is None:
        return None
    if settled is None:
        return Text(
            zh="就诊已结束，请医院办理医保结算（2207或2304）并报送结果。",
            en="The visit has ended; the hospital settles it (2207 or 2304) and reports the result.",
        )
    key, medfee, total = settled.split.settlement_id, yuan(settled.split.medfee_fen), yuan(visit.total_fen())
    if visit.cancelled_at is not None:
        return Text(
            zh=f"就诊已取消，结算{key}仍然有效，请医院撤销（2208或2305）并报送。",
            en=f"The visit was cancelled and settlement {key} is in force; the hospital cancels it (2208 or 2305) "
            "and reports that.",
        )
    if visit.closed_at is None:
        return Text(
            zh=f"就诊已恢复，结算{key}仍然有效；费用有变化时，请医院撤销（2208或2305）、重新结算并报送。",
            en=f"The visit is open again and settlement {key} is in force; if charges change, the hospital cancels it "
            "(2208 or 2305), settles again, and reports both.",
        )
    return Text(
        zh=f"结算{key}为{medfee}元，此后有新的费用明细，现合计{total}元；请医院撤销（2208或2305）、重新结算并报送。",
        en=f"Settlement {key} is of {medfee} yuan; lines were added after it, and they total {total} yuan now. "
        "The hospital cancels it (2208 or 2305), settles again, and reports both.",
    )


def _check_settles(visit: Visit) -> None:
    if visit.settled_by != "hospital":
        raise problems.SettledByCity(
            zh="该就诊由城市办理医保结算，医院无需报送。",
            en="The city settles this visit at the insurance; the hospital does not report a settlement of it.",
        )


def _check_shares(split: Split) -> None:
    if not split.adds_up():
        total = yuan(split.fund_fen + split.hospital_part_fen + split.person_fen())
        raise problems.SettlementUnbalanced(
            zh=f"基金、医院、个人账户、共济账户和现金合计{total}元，"
            f"应等于医疗费总额{yuan(split.medfee_fen)}元，且均不小于零。",
            en=f"Fund, hospital, accounts and cash total {total} yuan; they must total the medical fee "
            f"of {yuan(split.medfee_fen)} yuan, and none may be below zero.",
        )

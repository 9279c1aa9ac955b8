"""The reconciliation of a hospital's day: the differences found, their resolution, and the totals."""

import hashlib
from datetime import date, datetime
from typing import ClassVar, Literal

from msgspec import Struct

from backend.city.audit_log import UNLOGGED
from backend.i18n import Text
from backend.jobs.saga import DUE
from backend.paylater.repairs import ReconciledDay
from backend.paylater.statement import TRANSFER_TITLES, TransferDifferenceKind, TransferRepair
from backend.services.medical_credit.model.hospital_file import FiledLine
from backend.store import Index
from backend.store.retention import Period, Retention

DifferenceKind = Literal[
    "visit_only_at_hospital",
    "visit_missing_at_hospital",
    "line_only_at_hospital",
    "line_missing_at_hospital",
    "line_differs",
    "line_duplicated_at_hospital",
    "patient_differs",
    "settlement_differs",
    "settlement_missing_at_hospital",
    "settlement_cancelled_at_hospital",
    "settlement_repeated_at_hospital",
    "settlement_outdated",
    "settled_but_open_here",
    "settled_but_cancelled_here",
    "counter_differs",
    "counter_only_at_hospital",
    "counter_missing_at_hospital",
    "counter_repeated_at_hospital",
    "counter_overpaid",
    "settlement_only_at_insurance",
    "settlement_missing_at_insurance",
    "settlement_repeated_at_insurance",
    "settled_twice_at_insurance",
    "insurance_split_differs",
    "insurance_visit_differs",
    TransferDifferenceKind,
]
RepairKind = Literal[
    "add_charge",
    "add_credit",
    "credit_line",
    "adjust_line",
    "cancel_at_insurance",
    "settle_again",
    TransferRepair,
    "contact_hospital",
]
"""How a difference can be repaired; `contact_hospital` and `contact_bank` are no automatic repairs."""

DIFFERENCE_TITLES: dict[DifferenceKind, str] = {
    "visit_only_at_hospital": "就诊仅医院有 · visit only at the hospital",
    "visit_missing_at_hospital": "就诊仅我方有 · visit missing at the hospital",
    "line_only_at_hospital": "费用明细仅医院有 · line only at the hospital",
    "line_missing_at_hospital": "费用明细仅我方有 · line missing at the hospital",
    "line_differs": "费用明细不一致 · line differs",
    "line_duplicated_at_hospital": "医院费用明细重复 · line duplicated at the hospital",
    "patient_differs": "患者不一致 · patient differs",
    "settlement_differs": "结算不一致 · settlement differs",
    "settlement_missing_at_hospital": "结算仅我方有 · settlement missing at the hospital",
    "settlement_cancelled_at_hospital": "医院已撤销结算 · settlement cancelled at the hospital",
    "settlement_repeated_at_hospital": "医院重复结算 · settlement repeated at the hospital",
    "settlement_outdated": "结算后费用有变化 · charges changed after the settlement",
    "settled_but_open_here": "医院已结算，我方未结算 · settled at the hospital, open here",
    "settled_but_cancelled_here": "医院已结算，我方已取消 · settled at the hospital, cancelled here",
    "counter_differs": "窗口支付不一致 · counter payment differs",
    "counter_only_at_hospital": "窗口支付仅医院有 · counter payment only at the hospital",
    "counter_missing_at_hospital": "窗口支付仅我方有 · counter payment missing at the hospital",
    "counter_repeated_at_hospital": "医院窗口支付重复 · counter payment repeated at the hospital",
    "counter_overpaid": "窗口多收 · overpaid at the counter",
    "settlement_only_at_insurance": "结算仅医保有 · settlement only at the insurance",
    "settlement_missing_at_insurance": "结算仅我方有 · settlement missing at the insurance",
    "settlement_repeated_at_insurance": "医保清单重复 · settlement repeated at the insurance",
    "settled_twice_at_insurance": "医保结算两次 · settled twice at the insurance",
    "insurance_split_differs": "医保分割不一致 · split differs at the insurance",
    "insurance_visit_differs": "医保结算属于另一次就诊 · another visit's at the insurance",
    **TRANSFER_TITLES,
}
REPAIR_TITLES: dict[RepairKind, str] = {
    "add_charge": "补记收费 · add the charge",
    "add_credit": "补记退费 · add the credit",
    "credit_line": "退费 · credit the line",
    "adjust_line": "差额调整 · adjust by the difference",
    "cancel_at_insurance": "撤销医保结算 · cancel at the insurance",
    "settle_again": "重新结算 · settle again",
    "accept_bank_record": "以银行为准 · accept the bank's record",
    "query_bank": "再次查询银行 · query the bank again",
    "contact_bank": "与银行核实 · contact the bank",
    "contact_hospital": "与医院核实 · contact the hospital",
}


class Difference(Struct, frozen=True):
    """A difference between our records and those of another party, at the level of one line, settlement or transfer.

    The `id` is derived from the other fields, so the same difference keeps its id in a later comparison. `ours_fen`
    and `theirs_fen` are the amounts, None if a side has none. `subject` is the id of the line, settlement or transfer;
    `line` is the hospital's line if the repair needs it. `detail` says what differs; it is None in differences that an
    older edition stored.
    """

    id: str
    kind: DifferenceKind
    visit: str
    number: str
    subject: str
    ours_fen: int | None
    theirs_fen: int | None
    repair: RepairKind
    line: FiledLine | None = None
    detail: Text | None = None


class Totals(Struct, frozen=True):
    """The totals of a hospital's settled visits of a day, in fen; `payout_fen` is what the city owes the hospital."""

    visits: int = 0
    medfee_fen: int = 0
    fund_fen: int = 0
    account_fen: int = 0
    cash_fen: int = 0
    covered_fen: int = 0
    exception_fen: int = 0
    counter_fen: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0
    payout_fen: int = 0


class VisitTotal(Struct, frozen=True, gc=False):
    """A settled visit of the day: its number, medical fee, and the amount that the city owes the hospital for it."""

    number: str
    visit: str
    medfee_fen: int
    payout_fen: int


class Reconciliation(ReconciledDay, kw_only=True):
    """The reconciliation of a hospital's day; its `id` is derived from hospital and day.

    `omitted` counts differences that were too many to store.
    """

    collection: ClassVar[str] = "reconciliations"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("hospital",), ordered="day"),
        Index((), ordered="created_ms"),
        DUE,
        UNLOGGED,
    )
    not_repairable: ClassVar[Text] = Text(
        zh="该差异目前没有可受理的修复，请与医院核实。",
        en="This difference has no repair that can be accepted now; contact the hospital.",
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each hospital and day",
        ends="with the accounts of the day",
        names="nobody",
        field="created_ms",
        periods=(Period(date(2016, 1, 1), 3650, "[A] ten years, as for the payments that it compares"),),
    )

    hospital: str
    day: str
    created_at: datetime
    created_ms: int | None = None
    file_digest: str
    totals: Totals
    visits: tuple[VisitTotal, ...] = ()
    differences: tuple[Difference, ...] = ()
    omitted: int = 0

    def repairable(self) -> dict[str, bool]:
        """Return the ids of the differences, and whether each has an automatic repair."""
        return {one.id: not one.repair.startswith("contact") for one in self.differences}

    def open_differences(self) -> list[Difference]:
        """Return the differences that are not repaired."""
        return [one for one in self.differences if self.resolution(one.id).state != "repaired"]


def reconciliation_id(hospital: str, day: date) -> str:
    """Return the id of the reconciliation of a hospital's day."""
    return hashlib.sha256(f"reconciliation\n{hospital}\n{day}".encode()).hexdigest()[:32]

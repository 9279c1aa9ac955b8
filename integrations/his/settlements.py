"""Map the settlements that hospitals report to commands: one mapping that FHIR and HL7 v2 share. Pure."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from backend.i18n import Text
from backend.services.medical_credit.model.hospital_settlement import ReportCancellation, ReportSettlement
from backend.services.medical_credit.ports import Split
from integrations.his import mapping
from integrations.his.mapping import Element

Amount = str | int | Decimal | None
SETTLED, CANCELLED = ("2207", "2304"), ("2208", "2305")
"""The insurance's transactions that settle, and that cancel a settlement: of outpatients, and of inpatients."""

REQUIRED: tuple[Element, ...] = ("medical_fee", "fund", "cash")
OPTIONAL: tuple[Element, ...] = ("hospital_part", "account", "family_account")


def build_report(
    kind: str | None, settlement: str | None, registration: str | None, amounts: Mapping[Element, Amount], at: datetime
) -> ReportSettlement | ReportCancellation:
    """Return the command for a transaction of the insurance (2207, 2208, 2304, 2305). Raises Unmappable."""
    if not kind:
        raise mapping.missing_element("settlement_kind")
    if kind in CANCELLED:
        return build_cancellation(settlement)
    if kind in SETTLED:
        return build_settlement(settlement, registration, amounts, at)
    text = Text(zh="须为2207、2304（结算）或2208、2305（撤销）。", en="This must be 2207, 2304, 2208 or 2305.")
    raise mapping.Unmappable("settlement_kind", "unknown", text)


def build_cancellation(settlement: str | None) -> ReportCancellation:
    """Return the command for a cancelled settlement. Raises Unmappable."""
    return ReportCancellation(mapping.parse_identifier(settlement, "settlement"))


def build_settlement(
    settlement: str | None, registration: str | None, amounts: Mapping[Element, Amount], at: datetime
) -> ReportSettlement:
    """Return the command for a settlement. The amounts of the hospital and of the accounts may be missing.

    `person_part` (psn_part_amt), if it is present, must be the sum of accounts and cash. Raises Unmappable.
    """
    fen = {name: _fen(amounts.get(name), name) for name in REQUIRED}
    fen |= {name: _fen(amounts.get(name) or 0, name) for name in OPTIONAL}
    person_part = amounts.get("person_part")
    person_fen = fen["account"] + fen["family_account"] + fen["cash"]
    if person_part not in (None, "") and _fen(person_part, "person_part") != person_fen:
        text = Text(zh="个人负担须等于账户与现金之和。", en="This must be the sum of the accounts and cash.")
        raise mapping.Unmappable("person_part", "value", text)
    split = Split(
        settlement_id=mapping.parse_identifier(settlement, "settlement"),
        medfee_fen=fen["medical_fee"],
        fund_fen=fen["fund"],
        hospital_part_fen=fen["hospital_part"],
        account_fen=fen["account"],
        family_account_fen=fen["family_account"],
        cash_fen=fen["cash"],
    )
    known = mapping.parse_identifier(registration, "registration") if registration else ""
    return ReportSettlement(split, at, known)


def _fen(amount: Amount, element: Element) -> int:
    amount_fen = mapping.fen_from_yuan(amount, element)
    if amount_fen < 0:
        raise mapping.Unmappable(element, "value", Text(zh="金额不能小于零。", en="The amount cannot be below zero."))
    return amount_fen

"""Map ZYB segments to what the hospital settled, or cancelled, at the insurance itself. Pure."""

from datetime import datetime

from backend.services.medical_credit.model.hospital_settlement import ReportCancellation, ReportSettlement
from integrations.his.hl7v2.errors import Location, error_at
from integrations.his.hl7v2.financial_transactions import YUAN
from integrations.his.hl7v2.message import Part, Segment
from integrations.his.mapping import Element, Unmappable
from integrations.his.settlements import Amount, build_report

TIME = 4
"""The field with the time of the settlement."""

_NAMES: dict[Element, int] = {"settlement_kind": 1, "settlement": 2, "registration": 3}
_AMOUNTS: dict[Element, int] = {
    "medical_fee": 5,
    "fund": 6,
    "account": 7,
    "family_account": 8,
    "cash": 9,
    "hospital_part": 10,
    "person_part": 11,
}


def parse_settlement(segment: Segment, at: datetime) -> ReportSettlement | ReportCancellation:
    """Return the report of a ZYB segment, of this time. Raises Hl7Error at the field with the fault."""
    kind, settlement, registration = (segment.field(number).text for number in _NAMES.values())
    amounts: dict[Element, Amount] = {name: _amount(segment.field(number)) for name, number in _AMOUNTS.items()}
    try:
        return build_report(kind, settlement, registration, amounts, at)
    except Unmappable as error:
        number = {**_NAMES, **_AMOUNTS}.get(error.element, 0)
        raise error_at(Location(segment.name, segment.sequence, number), error) from error


def _amount(part: Part) -> str:
    """Return an amount, which may name yuan; the whole field, which is no amount, if it names another currency."""
    value, *others = part.raw.split(part.syntax.subcomponent) if part.syntax.subcomponent else [part.raw]
    return value if all(one.strip().upper() in YUAN for one in others) else part.raw

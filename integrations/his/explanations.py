"""What hospitals say of a charge besides its amount. It is kept as far as it is usable, and never refused. Pure."""

import re

from backend.services.medical_credit.model.visit import Explanation

MAX_TEXT = 64
CATALOGUE = "urn:chengma:insurance:catalogue"
"""The coding system of the insurance's catalogue (med_list_codg) in FHIR."""

_NUMBER = re.compile(r"0*[0-9]{1,10}(?:\.[0-9]{1,6})?", re.ASCII)


def build_explanation(
    quantity: object = None,
    unit_price: object = None,
    catalogue_code: object = None,
    department: object = None,
    doctor: object = None,
) -> Explanation | None:
    """Return what explains a charge, or None if nothing does; numbers and texts that cannot be used are left out."""
    found = Explanation(
        quantity=_number(quantity),
        unit_price=_number(unit_price),
        catalogue_code=_text(catalogue_code),
        department=_text(department),
        doctor=_text(doctor),
    )
    return None if found == Explanation() else found


def _number(value: object) -> str:
    text = "" if value is None else str(value)
    return text if _NUMBER.fullmatch(text) else ""


def _text(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text if len(text) <= MAX_TEXT and text.isprintable() else ""

"""A fast path for the most common form of ChargeItem, which needs no validation by `fhir.resources`.

Every body of this form is a valid ChargeItem of FHIR R4; a property test checks that. Other bodies may be valid too.
They are validated by `fhir.resources`, which takes twenty times as long.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

_SMALL = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,10})?")

Text = Annotated[str, Meta(pattern=r"^[^\s\x00-\x1f](.*[^\s\x00-\x1f])?$", max_length=500)]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Uri = Annotated[str, Meta(pattern=r"^[A-Za-z0-9:/._~#?&=%|-]{1,500}$")]
DateTime = Annotated[
    str,
    Meta(
        pattern=r"^20[0-9]{2}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
        r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$"
    ),
]


class _Identifier(Struct, forbid_unknown_fields=True):
    value: Text
    system: Uri | msgspec.UnsetType = msgspec.UNSET
    use: Literal["usual", "official", "temp", "secondary", "old"] | msgspec.UnsetType = msgspec.UNSET


class _Coding(Struct, forbid_unknown_fields=True):
    code: Code
    system: Uri | msgspec.UnsetType = msgspec.UNSET
    display: Text | msgspec.UnsetType = msgspec.UNSET


class _Concept(Struct, forbid_unknown_fields=True):
    coding: Annotated[list[_Coding], Meta(min_length=1, max_length=10)]
    text: Text | msgspec.UnsetType = msgspec.UNSET


class _Reference(Struct, forbid_unknown_fields=True):
    reference: Uri | msgspec.UnsetType = msgspec.UNSET
    type: Code | msgspec.UnsetType = msgspec.UNSET
    identifier: _Identifier | msgspec.UnsetType = msgspec.UNSET
    display: Text | msgspec.UnsetType = msgspec.UNSET


class _Amount(Struct, forbid_unknown_fields=True):
    value: Any
    currency: Literal["CNY"] | msgspec.UnsetType = msgspec.UNSET


class _Quantity(Struct, forbid_unknown_fields=True):
    value: Any
    unit: Text | msgspec.UnsetType = msgspec.UNSET


class _ChargeItem(Struct, forbid_unknown_fields=True):
    resourceType: Literal["ChargeItem"]  # noqa: N815  FHIR's own name
    identifier: Annotated[list[_Identifier], Meta(min_length=1, max_length=10)]
    status: Literal["billable", "billed"]
    code: _Concept
    subject: _Reference
    priceOverride: _Amount  # noqa: N815  likewise
    context: _Reference | msgspec.UnsetType = msgspec.UNSET
    account: Annotated[list[_Reference], Meta(min_length=1, max_length=1)] | msgspec.UnsetType = msgspec.UNSET
    occurrenceDateTime: DateTime | msgspec.UnsetType = msgspec.UNSET  # noqa: N815  likewise
    quantity: _Quantity | msgspec.UnsetType = msgspec.UNSET


def is_common_charge_item(body: dict[str, Any]) -> bool:
    """Return whether a body has the common form of a ChargeItem."""
    try:
        charge = msgspec.convert(body, _ChargeItem)
    except msgspec.ValidationError:
        return False
    numbers = [charge.priceOverride.value]
    if charge.quantity is not msgspec.UNSET:
        numbers.append(charge.quantity.value)
    return all(_is_small(number) for number in numbers)


def _is_small(number: object) -> bool:
    if isinstance(number, Decimal):
        return _SMALL.fullmatch(str(number)) is not None
    return isinstance(number, int) and not isinstance(number, bool) and abs(number) < 10**10

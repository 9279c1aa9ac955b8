from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from fhir.resources.R4B.chargeitem import ChargeItem
from hypothesis import given
from hypothesis import strategies as st

from integrations.his.fhir.charge_item_fast_path import is_common_charge_item
from tests.integrations.his.fhir.hospital_system import charge, credit

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_texts = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        ["L1", "CNY", "billable", "urn:x", "Encounter/1", "2022-04-20T11:45:00+08:00", "2022-02-28", "official"]
    ),
)
_values = st.recursive(
    st.one_of(_texts, st.integers(), st.decimals(allow_nan=False, allow_infinity=False), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["value", "system", "code", "coding", "reference", "display", "x"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
_names = st.sampled_from(
    [
        "identifier",
        "status",
        "code",
        "subject",
        "context",
        "account",
        "occurrenceDateTime",
        "quantity",
        "priceOverride",
        "note",
        "id",
    ]
)
_parts = st.sampled_from(["identifier", "code", "subject", "context", "account", "quantity", "priceOverride"])
_common: dict[str, Any] = _decode(
    msgspec.json.encode(
        charge("Encounter/1", account=[{"reference": "Account/1"}], quantity={"value": 1, "unit": "次"})
    )
)


def is_valid(body: dict[str, Any]) -> bool:
    try:
        ChargeItem.model_validate(body)
    except ValueError:
        return False
    return True


def test_the_common_form_of_a_charge_takes_the_fast_path() -> None:
    assert is_common_charge_item(_common)


def test_a_charge_takes_the_fast_path_on_every_day_of_a_year_and_on_no_day_that_does_not_exist() -> None:
    days = [f"2026-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 32)]
    taken = {day for day in days if is_common_charge_item(_common | {"occurrenceDateTime": f"{day}T08:00:00+08:00"})}
    assert taken == {str(date(2026, 1, 1) + timedelta(days=number)) for number in range(365)}


def test_other_forms_may_be_valid_too() -> None:
    for body in (credit("Encounter/1", "ChargeItem/1-1", "L2", -1), _common | {"note": [{"text": "加急"}]}):
        assert not is_common_charge_item(body)
        assert is_valid(body)


@given(st.dictionaries(_names, _values, max_size=2))
def test_every_body_on_the_fast_path_is_valid(members: dict[str, Any]) -> None:
    body = _common | members
    assert is_valid(body) or not is_common_charge_item(body)


@given(
    _parts,
    st.sampled_from(["value", "system", "code", "text", "display", "use", "type", "reference", "currency", "unit"]),
    _values,
)
def test_every_body_with_changed_elements_on_the_fast_path_is_valid(name: str, inner: str, value: object) -> None:
    part = _common[name]
    changed = [part[0] | {inner: value}] if isinstance(part, list) else part | {inner: value}
    body = _common | {name: changed}
    assert is_valid(body) or not is_common_charge_item(body)

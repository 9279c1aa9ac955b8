from decimal import Decimal
from typing import Any

import msgspec
from fhir.resources.R4B.chargeitem import ChargeItem
from hypothesis import given
from hypothesis import strategies as st

from integrations.his.fhir.plain_charge import is_plain_charge
from tests.integrations.his.fhir_hospital import charge, credit

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
_whole: dict[str, Any] = _decode(
    msgspec.json.encode(
        charge("Encounter/1", account=[{"reference": "Account/1"}], quantity={"value": 1, "unit": "次"})
    )
)


def is_one(body: dict[str, Any]) -> bool:
    try:
        ChargeItem.model_validate(body)
    except ValueError:
        return False
    return True


def test_a_charge_as_it_nearly_always_comes_is_plain() -> None:
    assert is_plain_charge(_whole)


def test_what_is_not_plain_may_be_a_charge_all_the_same() -> None:
    for body in (credit("Encounter/1", "ChargeItem/1-1", "L2", -1), _whole | {"note": [{"text": "加急"}]}):
        assert not is_plain_charge(body)
        assert is_one(body)


@given(st.dictionaries(_names, _values, max_size=2))
def test_what_is_plain_is_a_charge(members: dict[str, Any]) -> None:
    body = _whole | members
    assert is_one(body) or not is_plain_charge(body)


@given(
    _parts,
    st.sampled_from(["value", "system", "code", "text", "display", "use", "type", "reference", "currency", "unit"]),
    _values,
)
def test_what_is_plain_within_is_a_charge(name: str, inner: str, value: object) -> None:
    part = _whole[name]
    changed = [part[0] | {inner: value}] if isinstance(part, list) else part | {inner: value}
    body = _whole | {name: changed}
    assert is_one(body) or not is_plain_charge(body)

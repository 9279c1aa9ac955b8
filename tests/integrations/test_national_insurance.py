"""The adapter of the national insurance interface, tried over a socket against a sandbox that misbehaves."""

import asyncio
import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.request import Request, urlopen

import gmalg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.ports import ClaimLine
from integrations._sandbox.database import CallOutcome
from integrations.insurance import envelope, national_sandbox
from integrations.insurance.fee_lines import full_id, line_number, quantity_and_price, short_id
from integrations.insurance.signatures import SigningKeys
from tests.integrations.insurance_interface import (
    INSTITUTION,
    NOON,
    SM2_CITY,
    SM2_INSURANCE,
    SM3,
    VISIT,
    WANG,
    Interface,
    claim,
    run,
)

DAY = NOON.date()


@pytest.fixture
def interface(tmp_path: Path) -> Iterator[Interface]:
    found = Interface(tmp_path)
    yield found
    found.close()


# ── a visit ──


def test_an_outpatient_visit_is_registered_uploaded_tried_and_settled(interface: Interface) -> None:
    split = run(lambda: interface.adapter().settle(claim()))
    assert interface.codes() == ["1101", "2201", "2203", "2205", "2204", "2206", "2207"]
    assert (split.medfee_fen, split.fund_fen, split.account_fen, split.cash_fen) == (10_000, 6_000, 1_000, 3_000)
    assert replace(split, insured=None) == interface.books.in_force()[VISIT]


def test_a_hospital_stay_uses_the_transactions_of_inpatients(interface: Interface) -> None:
    adapter = interface.adapter()

    async def stay() -> None:
        split = await adapter.settle(claim(kind="inpatient"))
        await adapter.cancel(split.settlement_id, "c", split.insured)

    run(stay)
    assert interface.codes() == ["1101", "2401", "2302", "2301", "2303", "2304", "2305"]


def test_many_lines_are_uploaded_in_parts(interface: Interface) -> None:
    lines = [ClaimLine(f"L{number}", "A1", 100, NOON) for number in range(250)]
    split = run(lambda: interface.adapter().settle(claim(1, "outpatient", *lines)))
    assert (split.medfee_fen, interface.codes().count("2204")) == (25_000, 3)


def test_messages_can_be_signed_with_sm2(interface: Interface) -> None:
    interface.answers_with(SM2_INSURANCE)
    assert run(lambda: interface.adapter(SM2_CITY).settle(claim())).medfee_fen == 10_000


def test_a_settlement_asked_for_twice_is_one(interface: Interface) -> None:
    adapter = interface.adapter()

    async def twice() -> None:
        first = await adapter.settle(claim())
        with pytest.raises(UpstreamRejected):  # the lines of a settled visit cannot be replaced
            await adapter.settle(claim())
        assert interface.books.in_force()[VISIT] == replace(first, insured=None)

    run(twice)


def test_a_cancelled_settlement_makes_way_for_another(interface: Interface) -> None:
    adapter = interface.adapter()

    async def again() -> None:
        first = await adapter.settle(claim())
        for _ in range(2):
            await adapter.cancel(first.settlement_id, "c", first.insured)
        second = await adapter.settle(claim(2))
        assert second.settlement_id != first.settlement_id

    run(again)


def test_a_settlement_whose_registration_is_unknown_cannot_be_cancelled(interface: Interface) -> None:
    with pytest.raises(UpstreamRejected, match="registration"):
        run(lambda: interface.adapter().cancel("S1", "c", None))


def test_the_settlements_of_a_day_are_listed(interface: Interface) -> None:
    adapter = interface.adapter()

    async def listed() -> None:
        split = await adapter.settle(claim())
        (one,) = await adapter.settlements("HZ001", INSTITUTION, DAY)
        assert (one.settlement_id, one.visit, one.medfee_fen) == (split.settlement_id, VISIT, 10_000)
        assert (one.account_fen, one.cash_fen, one.insured) == (1_000, 3_000, split.insured)
        assert await adapter.settlements("HZ001", "H33010000002", DAY) == []

    run(listed)


# ── what goes wrong ──


@pytest.mark.parametrize("outcome", ["lost_before", "lost_after", "hang", "wrong"])
@pytest.mark.parametrize("kind", ["outpatient", "inpatient"])
def test_a_settlement_without_a_sound_answer_is_reversed_and_made_again(
    interface: Interface, outcome: CallOutcome, kind: VisitKind
) -> None:
    adapter, code = interface.adapter(seconds=0.5), "2304" if kind == "inpatient" else "2207"
    interface.books.database.script_outcomes(code, outcome)

    async def reversed_and_again() -> None:
        with pytest.raises(UpstreamTimeout):
            await adapter.settle(claim(1, kind))
        await adapter.reverse(claim(1, kind))
        assert interface.books.in_force() == {}
        split = await adapter.settle(claim(2, kind))
        assert interface.books.in_force()[VISIT] == replace(split, insured=None)

    run(reversed_and_again)


def test_a_settlement_that_arrives_after_its_reversal_is_refused(interface: Interface) -> None:
    adapter = interface.adapter()

    async def late() -> None:
        await adapter.reverse(claim())
        with pytest.raises(UpstreamRejected):
            await adapter.settle(claim())

    run(late)
    assert interface.books.in_force() == {}


@pytest.mark.parametrize("code", ["1101", "2201", "2205", "2204", "2206", "2207"])
def test_a_refusal_is_told_without_its_text(interface: Interface, code: str) -> None:
    interface.books.database.script_outcomes(code, "refused")
    with pytest.raises(UpstreamRejected, match=rf"^the insurance rejects {code}: E900$"):
        run(lambda: interface.adapter().settle(claim()))


@pytest.mark.parametrize("code", ["1101", "2201", "2206", "2207"])
def test_the_answer_to_another_message_is_not_taken(interface: Interface, code: str) -> None:
    interface.books.database.script_outcomes(code, "repeated")
    if code == "1101":
        run(lambda: interface.adapter().settle(claim(1)))  # so that there is an answer before
        interface.books.database.script_outcomes(code, "repeated")
    with pytest.raises((UpstreamTimeout, UpstreamRejected)):
        run(lambda: interface.adapter().settle(claim(2)))


def test_a_trial_with_another_sum_settles_nothing(interface: Interface) -> None:
    interface.books.database.script_outcomes("2206", "wrong")
    with pytest.raises(UpstreamTimeout):
        run(lambda: interface.adapter().settle(claim()))
    assert "2207" not in interface.codes()


def test_a_slow_answer_is_awaited(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(national_sandbox, "SLOW_SECONDS", 0.2)
    interface.books.database.script_outcomes("2207", "slow")
    assert run(lambda: interface.adapter().settle(claim())).medfee_fen == 10_000


def test_an_interface_that_is_down_is_a_time_out(interface: Interface) -> None:
    with pytest.raises(UpstreamTimeout, match="1101"):
        run(lambda: interface.adapter(url="http://127.0.0.1:9/").settle(claim()))


def test_an_answer_with_a_wrong_signature_is_not_taken(interface: Interface) -> None:
    interface.answers_with(SigningKeys("SM2", SM2_INSURANCE.own, SM2_INSURANCE.other))
    with pytest.raises(UpstreamTimeout, match="signature"):
        run(lambda: interface.adapter(SM3).settle(claim()))


def test_claims_of_several_visits_at_once_keep_apart(interface: Interface) -> None:
    adapter = interface.adapter()
    claims = [replace(claim(), visit=f"{number:032x}", message_id=f"{number:032x}/1") for number in range(4)]

    async def at_once() -> None:
        splits = await asyncio.gather(*(adapter.settle(one) for one in claims))
        assert {one.visit: replace(split, insured=None) for one, split in zip(claims, splits, strict=True)} == (
            interface.books.in_force()
        )

    run(at_once)


# ── the envelope ──


def members(**changes: object) -> dict[str, object]:
    found: dict[str, object] = {
        "infno": "1101",
        "msgid": f"{INSTITUTION}202603021200000001",
        "mdtrtarea_admvs": "330100",
        "insuplc_admdvs": "330100",
        "recer_sys_code": "MBS",
        "infver": "V1.0",
        "opter_type": "2",
        "opter": "x",
        "opter_name": "x",
        "inf_time": "2026-03-02 12:00:00",
        "fixmedins_code": INSTITUTION,
        "fixmedins_name": "x",
        "input": {"data": {"certno": WANG}},
    }
    return {**found, **changes}


def post(interface: Interface, body: bytes) -> dict[str, object]:
    request = Request(interface.url, body, {"Content-Type": "application/json"})  # noqa: S310  a local sandbox
    with urlopen(request, timeout=5) as response:  # noqa: S310  a local sandbox
        return json.load(response)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"infno": ""}, "infno is missing"),
        ({"infno": "9999"}, "not supported"),
        ({"msgid": "1"}, "msgid must be"),
        ({"msgid": f"{INSTITUTION}202613021200000001"}, "valid time"),
        ({"msgid": "H33010000002202603021200000001"}, "msgid must be"),
        ({"mdtrtarea_admvs": "33"}, "six digits"),
        ({"insuplc_admdvs": None}, "insuplc_admdvs is missing"),
        ({"infver": "V2.0"}, "infver"),
        ({"input": "x"}, "input must be an object"),
    ],
)
def test_a_wrong_envelope_is_refused(interface: Interface, changes: dict[str, object], told: str) -> None:
    answer = post(interface, envelope.signed(members(**changes), SM3))
    assert answer["infcode"] == -1
    assert told in str(answer["err_msg"])


@pytest.mark.parametrize("member", ["cainfo", "signtype", "opter", "input"])
def test_a_changed_envelope_is_refused(interface: Interface, member: str) -> None:
    sent = json.loads(envelope.signed(members(), SM3))
    assert post(interface, json.dumps(sent).encode())["infcode"] == 0
    sent[member] = {"data": {}} if member == "input" else "SM2"
    answer = post(interface, json.dumps(sent).encode())
    assert answer["infcode"] == -1
    assert "signature" in str(answer["err_msg"])


def test_a_body_that_is_no_object_is_refused(interface: Interface) -> None:
    for body in (b"", b"[]", b"{", b'{"infno": 1e999999999}', b"\xff"):
        assert post(interface, body)["infcode"] == -1


def test_a_message_that_arrives_twice_is_performed_once(interface: Interface) -> None:
    body = envelope.signed(members(), SM3)
    assert post(interface, body)["output"] == post(interface, body)["output"]
    other = envelope.signed(members(input={"data": {"certno": "110101199003070001"}}), SM3)
    assert "msgid was used" in str(post(interface, other)["err_msg"])


def test_a_message_number_has_the_institution_the_time_and_a_sequence() -> None:
    number = envelope.message_number(INSTITUTION, NOON, "visit/1")
    assert number.startswith("H3301000000120260302040000")
    assert len(number) == 30
    assert number == envelope.message_number(INSTITUTION, NOON, "visit/1")


@pytest.mark.parametrize("keys", [SM3, SM2_CITY], ids=["SM3", "SM2"])
def test_a_signature_of_sm2_or_sm3_covers_every_member(keys: SigningKeys) -> None:
    other_side = SM3 if keys is SM3 else SM2_INSURANCE
    sent = envelope.parse(envelope.signed(members(price=Decimal("79.000000")), keys))
    assert sent is not None
    assert other_side.verify(sent)
    assert sent["price"] == Decimal("79.000000")
    assert not other_side.verify({**sent, "price": Decimal("79.000001")})


def test_a_signature_of_sm2_has_64_bytes_also_if_its_numbers_begin_with_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = (b"\1" * 31, b"\2" * 30)
    monkeypatch.setattr(gmalg.SM2, "sign", lambda _key, _content: numbers)
    raw = base64.b64decode(SM2_CITY.sign(members()))
    assert raw == b"\0" + numbers[0] + b"\0\0" + numbers[1]


@pytest.mark.parametrize("cainfo", [None, 1, "", "00", "zz", "AAAA", "A" * 88])
def test_what_is_no_signature_is_not_one(cainfo: object) -> None:
    for keys in (SM3, SM2_CITY):
        assert not keys.verify(members(signtype=keys.type, cainfo=cainfo))


# ── lines ──


@pytest.mark.parametrize(
    ("quantity", "price", "fen", "sent"),
    [
        ("3", "0.33", 100, ("1", "1.00")),
        ("3", "0.3333", 100, ("3", "0.3333")),
        ("0.5", "79.000000", 3_950, ("0.5", "79.000000")),
        ("2", "5.0000", 1_000, ("2", "5.0000")),
        ("2", "5.0000", 500, ("1", "5.00")),
        ("1.00001", "5", 500, ("1", "5.00")),
        (None, None, 1_234, ("1", "12.34")),
    ],
)
def test_a_line_has_its_quantity_and_price_if_they_are_its_amount(
    quantity: str | None, price: str | None, fen: int, sent: tuple[str, str]
) -> None:
    given_numbers = [None if one is None else Decimal(one) for one in (quantity, price)]
    found = quantity_and_price(ClaimLine("L1", "A1", fen, NOON, *given_numbers))
    assert tuple(map(str, found)) == sent


@given(st.binary(min_size=16, max_size=16))
def test_the_id_of_a_visit_fits_the_interface_and_comes_back(raw: bytes) -> None:
    short = short_id(raw.hex())
    assert len(short) <= 30
    assert full_id(short) == raw.hex()


def test_a_long_line_id_is_replaced_by_a_digest() -> None:
    assert line_number("L1") == "L1"
    assert len(line_number("L" * 64)) == 30

"""What explains a charge is kept for the insurance, and never decides whether it is billed."""

from datetime import UTC
from decimal import Decimal

import pytest

from backend.services.medical_credit.model.visit import Explanation, Line, claim_line
from integrations.his.explanations import CATALOGUE, build_explanation
from integrations.his.hl7v2.message import parse_message
from integrations.his.hl7v2.trigger_events import parse_commands
from tests.integrations.his.fhir.hospital_system import HospitalSystem, charge
from tests.integrations.his.hospital import Hl7System
from tests.services.medical_credit.scene import Patient, Scene

FT1 = "FT1|1|L1||20261124093000+0800||CG|X9^阿莫西林^L^A0042|||3|1.00|0.3333|D12^内科|||||||DR7^王||"


def line_of(segment: str) -> Line:
    text = Hl7System().charge_message("V1", segment)
    (one,) = parse_commands(parse_message(text.encode(), "utf-8"), UTC).commands
    assert isinstance(one.command, Line)
    return one.command


def test_a_charge_keeps_what_ft1_says_of_it() -> None:
    line = line_of(FT1)
    assert line.amount_fen == 100
    assert line.explanation == Explanation("3", "0.3333", "A0042", "D12", "DR7")


def test_a_charge_without_explanation_has_none() -> None:
    assert line_of("FT1|1|L1||20261124093000+0800||CG|X9||||1.00").explanation is None


@pytest.mark.parametrize("quantity", ["-1", "1e3", "many", "1.1234567", "NaN"])
def test_a_number_that_cannot_be_used_is_left_out(quantity: str) -> None:
    assert build_explanation(quantity, catalogue_code="A1") == Explanation(catalogue_code="A1")


@pytest.mark.parametrize("text", ["x" * 65, 7, "a\nb", None])
def test_a_text_that_cannot_be_used_is_left_out(text: object) -> None:
    assert build_explanation(department=text) is None


def test_the_insurance_gets_the_line_with_its_explanation() -> None:
    found = claim_line(line_of(FT1), 100)
    assert (found.quantity, found.unit_price, found.catalogue_code) == (Decimal(3), Decimal("0.3333"), "A0042")
    assert (found.department, found.doctor) == ("D12", "DR7")


def test_a_charge_item_keeps_quantity_catalogue_department_and_doctor(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    codings = [{"system": CATALOGUE, "code": "A0042"}, {"system": "urn:example:prices", "code": "X9"}]
    item = charge(
        visit,
        "L1",
        1,
        code={"coding": codings},
        quantity={"value": 3},
        performingOrganization={"display": "内科"},
        performer=[{"actor": {"identifier": {"value": "DR7"}}}],
    )
    first.create(item)
    assert first.post(item | {"quantity": {"value": 4}}).status_code == 200  # an explanation is no other charge
    (line,) = scene.advanced().lines
    assert (line.code, line.explanation) == ("X9", Explanation("3", "", "A0042", "内科", "DR7"))

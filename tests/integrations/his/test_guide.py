"""The guide for hospitals is complete and true: each code has advice, and each message an example that works."""

import json
import re
from datetime import UTC, datetime
from typing import get_args

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec.structs import replace

import integrations.his.fhir.routes  # noqa: F401  its Problems
from backend.paylater.statement import TRANSFER_TITLES, TransferRepair
from backend.problems import Problem
from backend.services.medical_credit.api.hospital import MAX_FILE_BYTES
from backend.services.medical_credit.eligibility import terms_of
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import COLUMNS, MAX_ROWS, OPTIONAL_COLUMNS, RECORDS, read_file
from backend.services.medical_credit.model.problems import NotEligible
from backend.services.medical_credit.model.reconciliation import DIFFERENCE_TITLES, REPAIR_TITLES, Totals
from integrations.his.conformance.fhir_checks import CHECKS as FHIR_CHECKS
from integrations.his.conformance.mllp_checks import CHECKS as MLLP_CHECKS
from integrations.his.hl7v2.errors import CONDITION_CODES
from integrations.his.hl7v2.trigger_events import _PARSERS
from integrations.his.mapping import TRANSACTIONS
from integrations.insurance.sandbox import MAX_BALANCE_FEN
from tests.conftest import ROOT
from tests.integrations.his.fhir.hospital_system import HospitalSystem
from tests.integrations.his.hospital import last_reply
from tests.services.medical_credit.scene import Patient, Scene

GUIDE = (ROOT / "docs" / "hospitals.md").read_text("utf-8")
PATIENT = "990000196911180003"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OF_HOSPITALS = (
    "integrations.his",
    "backend.problems",
    "backend.city.id_number",
    "backend.city.upstream",
    "backend.operations.load_shedding",
    "backend.services.medical_credit.model",
)
OF_CITIZENS = {NotEligible}


def examples(language: str) -> list[tuple[str, str]]:
    """Return the note and the text of each example in a language."""
    return [(note.strip(), text) for found, note, text in FENCE.findall(GUIDE) if found == language]


def listed(heading: str) -> set[str]:
    """Return the first column of the table below a line."""
    table = re.search(rf"^\| {heading} \|[^\n]*\n\|[^\n]*\n((?:\|[^\n]*\n?)*)", GUIDE, re.MULTILINE)
    assert table, heading
    return {re.sub(r"[`| ]", "", line.split(" | ")[0]) for line in table[1].splitlines()}


def explained(heading: str) -> set[str]:
    """Return the values in the first column of the table below a line, several to a cell."""
    return {name for cell in listed(heading) for name in cell.split(",")}


def problems(kind: type[Problem] = Problem) -> set[type[Problem]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(problems(one) for one in direct))


def test_each_condition_code_has_advice() -> None:
    assert listed("code") == set(CONDITION_CODES)


def test_each_problem_of_hospitals_has_advice() -> None:
    met = {one for one in problems() if one.__module__.startswith(OF_HOSPITALS)} - OF_CITIZENS
    assert listed("problem") >= {one.type_path().rpartition("/")[2] for one in met}


def test_each_difference_and_repair_that_hospitals_see_is_explained() -> None:
    assert explained("kind of difference") == DIFFERENCE_TITLES.keys() - TRANSFER_TITLES.keys()
    assert explained("proposed repair") == set(REPAIR_TITLES) - set(get_args(TransferRepair))
    assert explained("in `totals`") == set(Totals.__struct_fields__)


def test_each_trigger_event_and_type_of_transaction_has_an_example() -> None:
    messages = [text for _, text in examples("hl7")]
    shown = {(fields[8].split("^")[0], fields[8].split("^")[1]) for fields in (one.split("|") for one in messages)}
    assert shown >= set(_PARSERS)
    transactions = {line.split("|")[6] for one in messages for line in one.splitlines() if line.startswith("FT1")}
    assert transactions == set(TRANSACTIONS)


def test_the_hl7_examples_are_accepted_in_their_order(scene: Scene, patient: Patient) -> None:
    scene.clock.now = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    code = scene.client.post("/v1/me/medical-credit/desk-tokens", headers=patient).json()["code"]

    async def send(message: str) -> str:
        return await last_reply(scene.city, message.strip().replace("\n", "\r"))

    for _, text in examples("hl7"):
        answer = scene.call(send, text.replace(PATIENT, patient.id_number).replace("12345678", code))
        assert "\rMSA|AA|" in answer, f"{text}\n{answer}"
        assert "\rERR" not in answer, f"{text}\n{answer}"


def test_the_fhir_examples_are_accepted_in_their_order_and_leave_a_bill(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    scene.insurance.set_balance(patient.id_number, MAX_BALANCE_FEN)
    scene.clock.now = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    code = scene.client.post("/v1/me/medical-credit/desk-tokens", headers=patient).json()["code"]
    visit = ""
    for note, text in examples("json"):
        shown = text.replace(PATIENT, patient.id_number).replace("12345678", code).replace("VISIT-ID", visit)
        resource = json.loads(shown)
        if note == "POST /fhir":
            entries = first.request("POST", "", resource).json()["entry"]
            assert [one["response"]["status"][:3] for one in entries] == ["201"] * len(resource["entry"]), entries
            continue
        method = note.split()[0] if note != "desk token" else "POST"
        answer = first.put(resource) if method == "PUT" else first.post(resource)
        assert answer.status_code == (200 if method == "PUT" else 201), f"{text}\n{answer.text}"
        visit = visit or (answer.json()["id"] if resource["resourceType"] == "Encounter" else "")
    scene.advanced("F1")
    invoice = first.read(f"Invoice/{visit}")
    assert (invoice["status"], invoice["totalNet"]["value"] > 0) == ("issued", True)
    assert invoice["extension"][0]["url"] in GUIDE
    assert first.found("CoverageEligibilityResponse?identifier=E1")[0]["insurance"][0]["inforce"]


def test_the_example_of_a_token_request_yields_a_token_of_five_minutes(scene: Scene) -> None:
    ((_, form),) = examples("form")
    private = ec.generate_private_key(ec.SECP384R1())
    (header, claims) = (text for _, text in examples("jsonc"))
    key = ECAlgorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": json.loads(header)["kid"]}

    async def register() -> None:
        hospital = await scene.city.store.get(Hospital, scene.first.id)
        assert hospital is not None
        await scene.city.store.replace(replace(hospital, jwks={"keys": [key]}))

    scene.call(register)
    text = claims.replace("HZ002", scene.first.id).replace("http://127.0.0.1:8000", "http://testserver.local")
    scene.clock.now = datetime.fromtimestamp(json.loads(text)["exp"] - 240, UTC)
    assertion = jwt.encode(json.loads(text), private, "ES384", json.loads(header))
    fields = dict(line.split("=", 1) for line in form.replace("ASSERTION", assertion).splitlines())
    answer = scene.client.post("/fhir/token", data=fields)
    assert (answer.json()["scope"], answer.json()["expires_in"]) == ("system/*.cruds", 300), answer.text


def test_the_outputs_of_the_conformance_kit_count_all_checks() -> None:
    shown = re.findall(r"^(\d+) of (\d+) checks passed, 0 mandatory checks failed\.$", GUIDE, re.MULTILINE)
    mllp, both = len(MLLP_CHECKS.checks), len(MLLP_CHECKS.checks) + len(FHIR_CHECKS.checks)
    assert shown == [(str(mllp), str(mllp)), (str(both), str(both))]


def test_the_guide_names_all_checks_of_the_conformance_kit() -> None:
    assert [
        one.name for suite in (MLLP_CHECKS, FHIR_CHECKS) for one in suite.checks if f"`{one.name}`" not in GUIDE
    ] == []


def test_the_time_that_the_guide_names_for_late_charges_is_that_of_the_terms(scene: Scene) -> None:
    minutes = terms_of(scene.city, scene.clock.now)("late_charges_minutes")
    assert {int(found) for found in re.findall(r"(\d+) minutes", GUIDE)} >= {minutes}
    assert GUIDE.count(f"{minutes} minutes from") >= 3


def test_the_example_of_the_days_file_is_read_and_each_column_and_record_is_explained() -> None:
    ((_, file),) = examples("csv")
    assert tuple(file.splitlines()[0].split(",")) == (*COLUMNS, *OPTIONAL_COLUMNS)
    assert list(read_file(file)) == ["V1"]
    explained = {name for cell in listed("column") for name in cell.split(",")}
    assert explained == {*COLUMNS, *OPTIONAL_COLUMNS}
    assert all(f"`{record}`" in GUIDE for record in RECORDS)
    assert f"{MAX_ROWS:,} rows and {MAX_FILE_BYTES // 1_000_000} MB" in GUIDE

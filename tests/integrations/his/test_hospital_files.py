"""Hospitals reconcile their days themselves: they upload the file, and read our records and the differences."""

from typing import Any

import httpx
import pytest

from backend.city.upstream import UpstreamTimeout
from backend.security.identity import Caller
from backend.services.medical_credit.api.hospital import MAX_FILE_BYTES
from backend.services.medical_credit.model.hospital import DAYS_READ, DAYS_WRITE, Hospital
from backend.services.medical_credit.model.visit import CounterPayment, Line
from backend.services.medical_credit.ports import SettlementRecord
from integrations.his.fhir.scopes import grant_scopes
from tests.conftest import SignIn
from tests.services.audit_entries import logged
from tests.services.health_code.scene import problem
from tests.services.medical_credit.scene import Patient, Scene

DAYS = "/v1/hospital/days"
DAY = f"{DAYS}/2022-04-20"
HEADER = "visit,record,id,of,code,amount,fund,account,cash,day,patient\n"


class System:
    """A hospital's system with the token of SMART Backend Services."""

    def __init__(self, scene: Scene, hospital: Hospital, *scopes: str) -> None:
        self.scene, self.hospital, self.scopes = scene, hospital, scopes or (DAYS_READ, DAYS_WRITE)

    def headers(self, **headers: str) -> dict[str, str]:
        caller = Caller(f"hospital:{self.hospital.id}", "test", roles=("hospital",), scopes=self.scopes)
        token = self.scene.client.app.state.access.issue(caller, self.scene.clock.now)
        return {"Authorization": f"Bearer {token}", **headers}

    def get(self, path: str) -> httpx.Response:
        return self.scene.client.get(path, headers=self.headers())

    def uploads(self, file: str | bytes, media_type: str = "text/csv", day: str = DAY) -> httpx.Response:
        headers = self.headers(**{"Content-Type": media_type})
        return self.scene.client.put(f"{day}/file", content=file, headers=headers)

    def uploaded(self, file: str | bytes, media_type: str = "text/csv") -> dict[str, Any]:
        answer = self.uploads(file, media_type)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def system(scene: Scene) -> System:
    return System(scene, scene.first)


@pytest.fixture
def records(scene: Scene, patient: Patient, system: System) -> str:
    """Return our records of a day with one settled visit."""
    scene.billed(patient, 20_000, 4_000)
    answer = system.get(f"{DAY}/records")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return answer.text


def test_a_hospital_uploads_its_day_and_reads_our_side_and_the_differences(system: System, records: str) -> None:
    assert records.startswith(HEADER)
    found = system.uploaded(records.replace("200.00", "199.00", 1))
    assert found["upload"] == "first"
    day = found["reconciliation"]
    assert [(one["kind"], one["visit_number"], one["state"]) for one in day["differences"]] == [
        ("line_differs", "V1", "open")
    ]
    assert "200.00" in day["differences"][0]["detail"]["en"]
    assert "199.00" in day["differences"][0]["detail"]["zh"]
    assert day["differences"][0]["advice"]["zh"].startswith("由城市处理")
    assert system.get(DAY).json() == day
    assert system.get(DAYS).json()["days"] == [
        {"day": "2022-04-20", "visits": 1, "differences": 1, "open_differences": 1}
    ]


def test_a_second_file_of_the_day_replaces_the_first_and_the_response_says_so(system: System, records: str) -> None:
    wrong = records.replace("200.00", "199.00", 1)
    assert [system.uploaded(file)["upload"] for file in (wrong, wrong, records)] == ["first", "repeated", "replaced"]
    assert system.get(DAY).json()["open_differences"] == 0


def test_a_file_is_read_in_utf_8_and_in_gbk(system: System) -> None:
    for encoding, media_type in (
        ("utf-8", "text/csv"),
        ("utf-8-sig", "text/csv; charset=utf-8"),
        ("gbk", "text/csv"),
        ("gbk", "text/csv; charset=GBK"),
        ("gb18030", "application/octet-stream"),
    ):
        file = f"{HEADER}就诊V9,charge,诊查费1,,110100001,5.00,,,,2022-04-20,\n"
        day = system.uploaded(file.encode(encoding), media_type)["reconciliation"]
        assert [one["visit_number"] for one in day["differences"]] == ["就诊V9"], media_type


def test_another_media_type_or_encoding_is_refused(system: System) -> None:
    for media_type in ("application/json", "text/csv; charset=utf-16", "multipart/form-data"):
        problem(system.uploads(HEADER, media_type), 415, "unsupported-media-type")


def test_faults_of_a_file_name_their_row_and_column(system: System) -> None:
    file = f"{HEADER}V1,charge,L1,,A,5.0,,,,,\nV2,charge,,,A,5.00,,,,,\nV3,gift,L1,,A,5.00,,,,2022-02-30,\n"
    refused = problem(system.uploads(file), 422, "invalid-file")
    pointers = [one["pointer"] for one in refused["errors"]]
    assert pointers == ["row 2, amount", "row 3, id", "row 4, record", "row 4, day"]


def test_a_row_in_no_encoding_is_named(system: System) -> None:
    file = HEADER.encode() + b"V1,charge,L1,,A,5.00,,,,,\n\xff\xff,charge,L1,,A,5.00,,,,,\n"
    for media_type in ("text/csv", "text/csv; charset=utf-8"):
        refused = problem(system.uploads(file, media_type), 422, "invalid-file")
        assert refused["errors"][0]["pointer"] == "row 3"


@pytest.mark.parametrize("day", ["2026-11-30x", "2026-11-31", "20261130"])
def test_a_day_that_is_no_date_is_refused_with_an_example(system: System, day: str) -> None:
    path = f"{DAYS}/{day}"
    for answer in (system.uploads(HEADER, day=path), system.get(path), system.get(f"{path}/records")):
        (error,) = problem(answer, 400, "invalid-request")["errors"]
        assert error == {"pointer": "day", "detail": "须为日期，如2026-11-24。"}


def test_a_file_of_megabytes_is_read_and_one_beyond_the_limit_is_refused(system: System) -> None:
    rows = [f"V1,counter,{number:064},,,6.00,,,,,\n" for number in range(15_000)]
    day = system.uploaded(HEADER + "".join(rows))["reconciliation"]
    assert sum(map(len, rows)) > 1_000_000
    assert day["open_differences"] > 0
    problem(system.uploads(b"x" * (MAX_FILE_BYTES + 1)), 413, "body-too-large")


def test_a_day_that_has_not_begun_is_refused(system: System) -> None:
    refused = problem(system.uploads(HEADER, day=f"{DAYS}/2022-04-21"), 400, "invalid-request")
    assert refused["errors"][0]["pointer"] == "day"


def test_a_hospital_sees_no_day_of_another(scene: Scene, system: System, records: str) -> None:
    system.uploaded(records)
    other = System(scene, scene.hospital("HZ002", "市第二医院"))
    problem(other.get(DAY), 404, "not-found")
    assert other.get(DAYS).json()["days"] == []
    assert other.get(f"{DAY}/records").text == HEADER
    day = other.uploaded(records)["reconciliation"]
    assert {one["kind"] for one in day["differences"]} == {"visit_only_at_hospital"}
    assert {one["advice"]["en"].split(";")[0] for one in day["differences"]} == {"Check your own records"}
    assert system.get(DAY).json()["open_differences"] == 0


def test_an_upload_needs_its_own_scope(scene: Scene) -> None:
    for scope in ("system/*.cruds", DAYS_READ):
        refused = System(scene, scene.first, scope).uploads(HEADER)
        problem(refused, 403, "not-allowed")
        assert DAYS_WRITE in refused.headers["WWW-Authenticate"]


def test_reading_needs_the_scope_of_reading(scene: Scene) -> None:
    system = System(scene, scene.first, DAYS_WRITE)
    for path in (DAYS, DAY, f"{DAY}/records"):
        problem(system.get(path), 403, "not-allowed")


def test_the_scopes_are_granted_when_all_of_fhir_is_or_they_are_registered() -> None:
    every = [DAYS_READ, DAYS_WRITE]
    assert grant_scopes(every, ("system/*.read", "system/*.write")) == tuple(every)
    assert grant_scopes(every, ("system/*.read",)) == (DAYS_READ,)
    assert grant_scopes(every, ("system/Encounter.cruds", DAYS_WRITE)) == (DAYS_WRITE,)
    assert grant_scopes(["system/*.cruds"], ("system/*.read", "system/*.write", *every)) == ("system/*.cruds",)


def test_a_disabled_hospital_and_a_citizen_are_refused(scene: Scene, patient: Patient, system: System) -> None:
    problem(scene.client.get(DAYS, headers=patient), 403, "not-allowed")
    found = scene.call(scene.city.store.get, Hospital, "HZ001")
    found.enabled = False
    scene.call(scene.city.store.replace, found)
    problem(system.get(DAYS), 401, "not-signed-in")


def test_an_hour_has_a_limited_number_of_uploads(system: System) -> None:
    answers = [system.uploads(HEADER).status_code for _ in range(61)]
    assert answers == [200] * 60 + [429]


def test_days_at_the_ends_of_the_calendar_are_refused(system: System) -> None:
    problem(system.uploads(HEADER, day=f"{DAYS}/0001-01-01"), 400, "invalid-request")
    problem(system.get(f"{DAYS}/9999-12-31/records"), 400, "invalid-request")


def test_an_upload_waits_for_the_insurance(scene: Scene, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_request: object, **_options: object) -> list[SettlementRecord]:
        raise UpstreamTimeout("the insurance is away")

    monkeypatch.setattr(scene.insurance, "settlements", away)
    problem(system.uploads(HEADER), 503, "upstream-unavailable")


def test_what_a_hospital_does_with_its_day_is_recorded_and_no_officer_is_named(
    scene: Scene, system: System, records: str, sign_in: SignIn
) -> None:
    system.uploaded(records.replace("200.00", "199.00", 1))
    operator = sign_in("13800000008", roles=["operator"])
    day = scene.client.get("/v1/reconciliations/HZ001/2022-04-20", headers=operator).json()
    chosen = {"differences": [one["difference"]["id"] for one in day["differences"]]}
    path = "/v1/reconciliations/HZ001/2022-04-20/acceptances"
    assert scene.client.post(path, json=chosen, headers=operator).status_code == 200
    shown = system.get(DAY)
    assert shown.json()["differences"][0]["state"] == "accepted"
    assert "accepted_by" not in shown.text
    acts = [(entry.action, entry.account) for entry in logged(scene.client)]
    assert ("medical_credit.day_reconciled", "hospital:HZ001") in acts
    assert ("medical_credit.records_exported", "hospital:HZ001") in acts


def test_a_hospital_writes_its_file_without_the_settlements_of_the_city(system: System, records: str) -> None:
    (settlement,) = (row for row in records.splitlines(keepends=True) if ",settlement," in row)
    number = settlement.split(",")[2]
    for row in ("", settlement.replace(number, "-"), settlement.replace(number, "")):
        day = system.uploaded(records.replace(settlement, row))["reconciliation"]
        assert day["differences"] == [], row


def test_an_officer_who_mistypes_a_day_is_told_how_it_is_written(scene: Scene, sign_in: SignIn) -> None:
    officer = sign_in("13800000008", roles=["operator"])
    for path in ("", "/file", "/page"):
        answer = scene.client.get(f"/v1/reconciliations/HZ001/2026-11-30x{path}", headers=officer)
        assert problem(answer, 400, "invalid-request")["errors"][0]["pointer"] == "day", path


def test_a_late_payment_stays_in_the_day_of_the_settlement_and_a_late_credit_moves_the_visit(
    scene: Scene, system: System, records: str
) -> None:
    next_day = f"{DAYS}/2022-04-21"
    scene.time_passes(days=1)
    scene.send(CounterPayment("P9", 100, scene.clock.now))
    scene.advanced()
    assert ",counter,P9," in system.get(f"{DAY}/records").text
    assert system.get(f"{next_day}/records").text == HEADER
    scene.send(Line("C9", "credit", "", "退费", -100, scene.clock.now, "L1"))
    scene.advanced()
    moved = system.get(f"{next_day}/records").text
    assert set(records.splitlines()) - set(moved.splitlines()) == {
        row for row in records.splitlines() if ",settlement," in row
    }
    assert ",credit,C9," in moved
    assert system.get(f"{DAY}/records").text == HEADER

"""What hospitals and patients do at a desk: choose hospitals, show codes, and send them over both interfaces."""

from integrations.his.mapping import DESK_SYSTEM
from tests.integrations.his.fhir.hospital_system import HospitalSystem, Json
from tests.integrations.his.hospital import Hl7System, last_reply
from tests.services.medical_credit.scene import Patient, Scene

NOBODY = "110101199003070054"
HOSPITALS = "/v1/me/medical-credit/hospitals"


def allow(scene: Scene, patient: Patient, *hospitals: str, everywhere: bool = False) -> Json:
    body = {"all_hospitals": everywhere, "hospitals": list(hospitals)}
    answer = scene.client.put(HOSPITALS, json=body, headers=patient)
    assert answer.status_code == 200, answer.text
    return answer.json()


def code_of(scene: Scene, patient: Patient) -> str:
    answer = scene.client.post("/v1/me/medical-credit/desk-tokens", headers=patient)
    assert answer.status_code == 201, answer.text
    return answer.json()["code"]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08}"


def by_token(resource: Json, code: str) -> Json:
    """Name the patient of a resource by a desk token alone."""
    element = "patient" if "patient" in resource else "subject"
    return resource | {element: {"identifier": {"system": DESK_SYSTEM, "value": code}}}


def by_both(resource: Json, patient: str, code: str) -> Json:
    """Name the patient by an ID number and a desk token, in a contained Patient."""
    element = "patient" if "patient" in resource else "subject"
    identifiers = [{"value": patient}, {"system": DESK_SYSTEM, "value": code}]
    contained = {"resourceType": "Patient", "id": "p", "identifier": identifiers}
    return resource | {element: {"reference": "#p"}, "contained": [contained]}


def answer_of(system: HospitalSystem, resource: Json) -> Json:
    """Return the answer to an eligibility request, without what differs between all answers."""
    created = system.create(resource)
    found = system.read(f"CoverageEligibilityResponse/{created['id']}")
    for name in ("id", "meta", "identifier", "patient", "request", "created"):
        found.pop(name, None)
    return found


def hl7(scene: Scene, message: str) -> list[str]:
    """Return the fields of MSA and ERR of the answer to a message."""
    answer = scene.call(last_reply, scene.city, message)
    return [line for line in answer.split("\r") if line.startswith(("MSA", "ERR"))]


def registration(patient: str, visit: str, class_: str = "O", *, code: str = "", hospital: str = "HZ001") -> str:
    system = Hl7System(hospital)
    identifiers = [f"{patient}^^^CN^NI"] * bool(patient) + [f"{code}^^^CHENGMA^DESK"] * bool(code)
    pid = f"PID|1||{'~'.join(identifiers)}||王^小明"
    return system.message("ADT^A04", pid, f"PV1|1|{class_}{'|' * 17}{visit}")

"""Pay later in the demonstration: a connected hospital, and a patient who agreed to pay later."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec.structs import replace

from backend.city.person import document_of, known_person
from backend.city.service import City, Demo, DemoOutput, DemoPerson
from backend.services.medical_credit.eligibility import assess, fetch_credit_facts
from backend.services.medical_credit.model.enrolment import AGREEMENT, Enrolment
from backend.services.medical_credit.model.hospital import Hospital
from backend.store.update import create_or_update, insert_or_get

_HOSPITAL = "HZ001"
INVENTED = "99"
"""The division of invented people; no real ID number begins with it."""


async def _connect_hospital(city: City, people: Callable[[], AsyncIterator[DemoPerson]]) -> DemoOutput:
    """Connect an invented hospital, and name the private key with which it signs in and a patient to try it with."""
    path = Path(city.settings.keys).parent / f"hospital-{_HOSPITAL}.jwk.json"
    if not path.exists():
        private = ec.generate_private_key(ec.SECP384R1())
        parameters = {"kid": "demo", "use": "sig", "alg": "ES384"}
        path.touch(0o600)
        path.write_text(json.dumps(ECAlgorithm.to_jwk(private, as_dict=True) | parameters), encoding="utf-8")
    public = {name: value for name, value in json.loads(path.read_bytes()).items() if name != "d"}
    hospital = Hospital(
        id=_HOSPITAL,
        name="示范医院 Demonstration Hospital",
        since_ms=0,
        jwks={"keys": [public]},
        people_without_credit="ignore",
    )
    await create_or_update(city.store, hospital, lambda known: replace(known, jwks=hospital.jwks))
    notes = [f"\nA hospital is connected as {_HOSPITAL}; it signs in to /fhir with the key in {path}."]
    patient = await _enrolled_patient(city, people)
    if patient is not None:
        notes.append(
            f"The patient {patient} agreed to pay later. While `chengma his listen` runs, "
            f"`chengma his try {_HOSPITAL}` runs and prints a first visit."
        )
    return DemoOutput(notes=notes)


async def _enrolled_patient(city: City, people: Callable[[], AsyncIterator[DemoPerson]]) -> str | None:
    """Return the ID number of an invented person who may pay later, and enrol the first for whom the rules allow it."""
    now = city.now()
    async for one in people():
        number = document_of(city.encryption, await known_person(city.store, one.citizen_id)).number
        if not number.startswith(INVENTED):
            continue
        known = await city.store.get(Enrolment, one.citizen_id)
        if known is None:
            facts = await fetch_credit_facts(city, one.citizen_id)
            new = Enrolment(
                id=one.citizen_id,
                agreement=AGREEMENT,
                consented_at=now,
                automatic_debit=False,
                facts=facts,
                facts_at=now,
            )
            if (await assess(city, new, None, now)).standing == "good":
                known = await insert_or_get(city.store, new)
        if known is not None and known.closed_at is None:
            return number
    return None


demo = Demo(show=_connect_hospital)

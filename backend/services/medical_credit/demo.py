"""Pay later in the demonstration: a connected hospital."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec.structs import replace

from backend.city.service import City, Demo, DemoOutput, DemoPerson
from backend.services.medical_credit.model.hospital import Hospital
from backend.store.update import create_or_update

_HOSPITAL = "HZ001"


async def _connect_hospital(city: City, _people: Callable[[], AsyncIterator[DemoPerson]]) -> DemoOutput:
    """Connect an invented hospital, and name the file of the private key with which it signs in."""
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
    return DemoOutput(notes=[f"\nA hospital is connected as {_HOSPITAL}; it signs in to /fhir with the key in {path}."])


demo = Demo(show=_connect_hospital)

"""The context of one FHIR request: the city, the hospital that sent it, our base URL and the granted scopes."""

from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from backend.city.service import City
from backend.services.medical_credit.hospital_caller import missing_scope
from backend.services.medical_credit.model.hospital import Hospital, patient_pseudonym
from backend.services.medical_credit.model.visit import own_system
from integrations.his.fhir.scopes import Permission, permissions_of


class RequestContext:
    """The context that every interaction of a request uses; `base` is the URL under which the hospital calls us."""

    def __init__(self, city: City, hospital: Hospital, base: str, scopes: tuple[str, ...]) -> None:
        self.city = city
        self.hospital = hospital
        self.base = base
        self._permissions = permissions_of(scopes)

    @cached_property
    def now(self) -> datetime:
        """The present instant, the same for the whole request."""
        return self.city.now()

    @cached_property
    def time_zone(self) -> ZoneInfo:
        """The city's time zone, in which dates without an offset are read."""
        return ZoneInfo(self.city.settings.time_zone)

    def system(self, name: str) -> str:
        """Return the URI of the identifier system of this hospital's visits, charges, payments and so on."""
        return own_system(self.hospital.id, name)

    def patient_pseudonym(self, person: str) -> str:
        """Return the identifier of a person for this hospital: stable, and different for every hospital."""
        return patient_pseudonym(self.city.encryption, self.hospital.id, person)

    def require_scope(self, resource_type: str, permission: Permission) -> None:
        """Raise NotAllowed unless the access token has the scope."""
        if (resource_type, permission) not in self._permissions:
            raise missing_scope(f"system/{resource_type}.{permission}")

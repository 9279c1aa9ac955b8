"""Hospitals: what their information systems tell the city, and what they are told, by HL7 v2 and FHIR R4."""

from collections.abc import Sequence

from litestar.types import ControllerRouterHandler

from backend.service import Integration
from backend.settings import Settings
from integrations.his.fhir_outcome import DIALECT


def _routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    from integrations.his.fhir import (
        fhir_routes,
    )  # the FHIR models take a fifth of a second, which no command waits for

    return fhir_routes(settings)


integration = Integration(routes=_routes, dialect=DIALECT)

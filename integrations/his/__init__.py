"""Hospitals: what their information systems tell the city, and what they are told, by HL7 v2 and FHIR R4."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

from backend.city.service import Integration
from backend.services.medical_credit.ports import Inbox
from backend.settings import Settings
from integrations.his.fhir.outcome import DIALECT

if TYPE_CHECKING:
    import click


def _make(_settings: Settings) -> Inbox:
    from integrations.his.hl7v2.inbox import MessageInbox

    return MessageInbox()


def _routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    from integrations.his.fhir.routes import (
        fhir_routes,
    )  # the FHIR models take a fifth of a second, which no command waits for

    return fhir_routes(settings)


def _command() -> "click.Command":
    from integrations.his.command import his

    return his


integration = Integration(port=Inbox, make=_make, routes=_routes, command=_command, problem_format=DIALECT)

"""Hospitals: what their information systems tell the city, and what they are told, by HL7 v2 and FHIR R4."""

from typing import TYPE_CHECKING

from backend.service import Integration
from backend.services.medical_credit.ports import Inbox
from backend.settings import Settings
from integrations.his.fhir_outcome import DIALECT

if TYPE_CHECKING:
    import click


def _make(_settings: Settings) -> Inbox:
    from integrations.his.inbox import MessageInbox

    return MessageInbox()


def _command() -> "click.Command":
    from integrations.his.command import his

    return his


integration = Integration(port=Inbox, make=_make, command=_command, dialect=DIALECT)

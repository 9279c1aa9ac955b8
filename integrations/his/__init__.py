"""Hospital information systems (HIS): receive visits and charges by FHIR R4 and HL7 v2, and answer their requests.

Read `mapping` first: it maps the hospitals' terms to commands. Then read the two interfaces, `fhir` (from `routes`) and
`hl7v2` (from `message_receiver`). `conformance` tests a hospital's system, or ours.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

from backend.city.service import Integration
from backend.services.medical_credit.ports import Inbox
from backend.settings import Settings
from integrations.his.fhir.operation_outcome import PROBLEM_FORMAT

if TYPE_CHECKING:
    import click


def _make(_settings: Settings) -> Inbox:
    from integrations.his.hl7v2.message_receiver import Hl7Inbox

    return Hl7Inbox()


def _routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    # importing the FHIR models takes a fifth of a second, which would delay every command
    from integrations.his.fhir.routes import fhir_routes
    from integrations.his.message_states import message_routes

    return [*fhir_routes(settings), *message_routes()]


def _command() -> "click.Command":
    from integrations.his.command import his

    return his


integration = Integration(
    port=Inbox, make=_make, development=True, routes=_routes, command=_command, problem_format=PROBLEM_FORMAT
)

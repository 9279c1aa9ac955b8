"""The warning to a hospital that settles itself, if a message makes its settlement outdated. Pure."""

from collections.abc import Iterator, Sequence

from backend.services.medical_credit.model.hospital_settlement import awaited_text
from backend.services.medical_credit.model.visit import Visit
from integrations.his.hl7v2.errors import Hl7Error
from integrations.his.hl7v2.trigger_events import LocatedCommand


def outdated_settlement(visit: Visit, commands: Sequence[LocatedCommand]) -> Iterator[Hl7Error]:
    """Yield the warning, at the last command of the message, that the hospital must renew its settlement."""
    text = awaited_text(visit)
    if text is not None and visit.awaited() == "cancellation":
        yield Hl7Error(commands[-1].location, "206", text, "W")

"""The sandbox of the registry of degrees: synthetic degrees, and faulty answers."""

from backend.services.talent_code.facts import Degree
from backend.services.talent_code.ports import Finding
from backend.services.talent_code.synthetic import synthetic_degrees
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase
from integrations._sandbox.registry import SandboxRegistry, confirm


class SandboxEducation:
    """Knows the degrees of a synthetic city, and those set by tests."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database
        self._degrees = SandboxRegistry(database, "confirm_degree", tuple[Degree, ...], self._synthetic)

    async def confirm_degree(self, id_number: str, evidence: str, degree: Degree) -> Finding:
        """Confirm a degree that equals one of the person's in level, school, mode of study, and day of award in UTC+8.

        Raises UpstreamTimeout or UpstreamRejected.
        """
        return await confirm(self._degrees, id_number, evidence, degree)

    def known(self, id_number: str) -> tuple[Degree, ...]:
        """Return a person's recorded degrees."""
        return self._degrees.known(id_number)

    def set_degrees(self, id_number: str, *degrees: Degree) -> None:
        """Set a person's degrees."""
        self._degrees.set(id_number, degrees)

    def _synthetic(self, id_number: str) -> tuple[Degree, ...]:
        return synthetic_degrees(id_number, self.database.clock())


def make(settings: Settings) -> SandboxEducation:
    """Create the sandbox on the database of the settings."""
    return SandboxEducation(SandboxDatabase(settings.sandbox))

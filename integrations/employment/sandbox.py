"""The sandbox of the registry of titles, prizes and posts: synthetic records, and faulty answers."""

from backend.services.talent_code.ports import Finding
from backend.services.talent_code.synthetic import Merit, synthetic_merits
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase
from integrations._sandbox.registry import SandboxRegistry, confirm


class SandboxEmployment:
    """Knows the titles, prizes and posts of a synthetic city, and those set by tests."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database
        self._merits = SandboxRegistry(database, "confirm_merit", tuple[Merit, ...], self._synthetic)

    async def confirm_merit(self, id_number: str, evidence: str, merit: Merit) -> Finding:
        """Confirm a merit that equals one of the person's: the same name, and the same day in UTC+8.

        A post must also have the same last day, or both are held still. Raises UpstreamTimeout or UpstreamRejected.
        """
        return await confirm(self._merits, id_number, evidence, merit)

    def known(self, id_number: str) -> tuple[Merit, ...]:
        """Return a person's recorded titles, prizes and posts."""
        return self._merits.known(id_number)

    def set_merits(self, id_number: str, *merits: Merit) -> None:
        """Set a person's titles, prizes and posts."""
        self._merits.set(id_number, merits)

    def _synthetic(self, id_number: str) -> tuple[Merit, ...]:
        return synthetic_merits(id_number, self.database.clock())


def make(settings: Settings) -> SandboxEmployment:
    """Create the sandbox on the database of the settings."""
    return SandboxEmployment(SandboxDatabase(settings.sandbox))

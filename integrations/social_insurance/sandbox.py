"""The sandbox of the social insurance: synthetic months of insurance, and faulty answers."""

from backend.services.talent_code.synthetic import birth_year, random_for
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase
from integrations._sandbox.registry import SandboxRegistry, answer, impossible

MAX_MONTHS = 300
WORKS_FROM_AGE = 16


class SandboxSocialInsurance:
    """People have been insured for some share of the last 25 years, or of the years since they turned 16."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database
        self._months = SandboxRegistry(database, "insured_months", int, self._synthetic)

    async def insured_months(self, id_number: str) -> int:
        """Return a person's months of insurance in the city. Raises UpstreamTimeout or UpstreamRejected."""
        return await answer(self._months, id_number, impossible)

    def set_months(self, id_number: str, months: int) -> None:
        """Set a person's months of insurance."""
        self._months.set(id_number, months)

    def _synthetic(self, id_number: str) -> int:
        years = self.database.clock().year - birth_year(id_number) - WORKS_FROM_AGE
        return round(random_for("months", id_number).random() * min(MAX_MONTHS, max(0, 12 * years)))


def make(settings: Settings) -> SandboxSocialInsurance:
    """Create the sandbox on the database of the settings."""
    return SandboxSocialInsurance(SandboxDatabase(settings.sandbox))

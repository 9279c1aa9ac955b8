"""The sandbox of the social insurance: it invents for how long people are insured, and delays, refuses and errs."""

from backend.city.service import Integration
from backend.services.talent_code.invention import birth_year, chance_of
from backend.services.talent_code.ports import SocialInsurance
from backend.settings import Settings
from integrations._sandbox import Books
from integrations._sandbox_registry import Register, impossible, tell

MAX_MONTHS = 300
WORKS_FROM_AGE = 16


class SandboxSocialInsurance:
    """People have been insured for some share of the last 25 years, or of those in which they may have worked."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._months = Register(books, "insured_months", int, self._invented)

    async def insured_months(self, id_number: str) -> int:
        """Tell for how many months a person has been insured in the city. Raises Silent or Refused."""
        return await tell(self._months, id_number, impossible)

    def set_months(self, id_number: str, months: int) -> None:
        """Let a person have been insured for so many months."""
        self._months.set(id_number, months)

    def _invented(self, id_number: str) -> int:
        years = self.books.clock().year - birth_year(id_number) - WORKS_FROM_AGE
        return round(chance_of("months", id_number).random() * min(MAX_MONTHS, max(0, 12 * years)))


def _make(settings: Settings) -> SandboxSocialInsurance:
    return SandboxSocialInsurance(Books(settings.sandbox))


integration = Integration(port=SocialInsurance, make=_make)

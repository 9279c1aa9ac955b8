"""The sandbox of the tax bureau: it invents incomes and invoices, and delays, refuses and errs."""

from msgspec.structs import replace

from backend.city.service import Integration
from backend.services.talent_code.invention import birth_year, chance_of
from backend.services.talent_code.ports import Tax, TaxYear
from backend.settings import Settings
from integrations._sandbox import Books
from integrations._sandbox_registry import Register, impossible, tell

YUAN = 100
EARNS_FROM_AGE = 22
FREE_YUAN = 60_000
STEPS = ((36_000, 3), (144_000, 10), (300_000, 20), (420_000, 25), (660_000, 30), (960_000, 35))
"""Up to so many yuan above what is free, so many percent; roughly those of the income tax law of 2018."""

PERCENT_ABOVE = 45


class SandboxTax:
    """Three of a hundred people earn more than a million yuan a year, the others from 60,000 to 300,000."""

    def __init__(self, books: Books) -> None:
        self.books = books

    async def tax_year(self, id_number: str, year: int) -> TaxYear:
        """Tell income and income tax of a year, zero where there was none. Raises Silent or Refused."""
        return await tell(self._year(year), id_number, _another)

    async def invoiced_fen(self, id_number: str, benefit: str) -> int:
        """Tell what invoices prove that a person spent on what a benefit is for. Raises Silent or Refused."""
        return await tell(self._invoiced(benefit), id_number, impossible)

    def set_year(self, id_number: str, year: TaxYear) -> None:
        """Let a person have earned and paid this in a year."""
        self._year(year.year).set(id_number, year)

    def set_invoiced(self, id_number: str, benefit: str, fen: int) -> None:
        """Let a person's invoices prove so much of what a benefit is for."""
        self._invoiced(benefit).set(id_number, fen)

    def _year(self, year: int) -> Register[TaxYear]:
        return Register(self.books, "tax_year", TaxYear, lambda number: _invented(number, year), str(year))

    def _invoiced(self, benefit: str) -> Register[int]:
        return Register(self.books, "invoiced_fen", int, lambda number: _invented_invoices(number, benefit), benefit)


def _another(known: TaxYear) -> TaxYear:
    return replace(known, year=known.year - 1)


def _invented(id_number: str, year: int) -> TaxYear:
    """Give a year of a person who earns much the same each year, once they are old enough."""
    if year < birth_year(id_number) + EARNS_FROM_AGE:
        return TaxYear(year, 0, 0)
    person = chance_of("income", id_number)
    usual_yuan = person.choices(((67_000, 272_000), (1_200_000, 3_000_000)), weights=(97, 3))[0]
    yuan = person.randint(*usual_yuan) * chance_of(f"income {year}", id_number).randint(90, 110) // 100
    return TaxYear(year, yuan * YUAN, _tax_fen(yuan))


def _tax_fen(income_yuan: int) -> int:
    taxed, below, tax = max(0, income_yuan - FREE_YUAN), 0, 0
    for up_to, percent in STEPS:
        tax += max(0, min(taxed, up_to) - below) * percent
        below = up_to
    return tax + max(0, taxed - below) * PERCENT_ABOVE


def _invented_invoices(id_number: str, benefit: str) -> int:
    """Give the invoices of a person, of whom every third has none."""
    chance = chance_of(f"invoices {benefit}", id_number)
    return chance.choice((0, 1, 1)) * chance.randint(1_000, 200_000) * YUAN


def _make(settings: Settings) -> SandboxTax:
    return SandboxTax(Books(settings.sandbox))


integration = Integration(port=Tax, make=_make)

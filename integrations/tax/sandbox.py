"""The sandbox of the tax bureau: synthetic incomes and invoices, and faulty answers."""

from msgspec.structs import replace

from backend.services.talent_code.ports import TaxYear
from backend.services.talent_code.synthetic import birth_year, random_for
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase
from integrations._sandbox.registry import SandboxRegistry, answer, impossible

YUAN = 100
EARNS_FROM_AGE = 22
TAX_FREE_YUAN = 60_000
BRACKETS = ((36_000, 3), (144_000, 10), (300_000, 20), (420_000, 25), (660_000, 30), (960_000, 35))
"""Brackets above the tax-free amount: upper limit in yuan, percent; roughly those of the income tax law of 2018."""

TOP_PERCENT = 45


class SandboxTax:
    """Three in a hundred people earn more than a million yuan a year, the others 60,000 to 300,000."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database

    async def tax_year(self, id_number: str, year: int) -> TaxYear:
        """Return income and income tax of a year, 0 if there was none. Raises UpstreamTimeout or UpstreamRejected."""
        return await answer(self._year(year), id_number, _another)

    async def invoiced_fen(self, id_number: str, benefit: str) -> int:
        """Return the amount that invoices prove for the purpose of a benefit.

        Raises UpstreamTimeout or UpstreamRejected.
        """
        return await answer(self._invoiced(benefit), id_number, impossible)

    def set_year(self, id_number: str, year: TaxYear) -> None:
        """Set a person's income and tax of a year."""
        self._year(year.year).set(id_number, year)

    def set_invoiced(self, id_number: str, benefit: str, fen: int) -> None:
        """Set the amount that a person's invoices prove for the purpose of a benefit."""
        self._invoiced(benefit).set(id_number, fen)

    def _year(self, year: int) -> SandboxRegistry[TaxYear]:
        return SandboxRegistry(self.database, "tax_year", TaxYear, lambda number: _synthetic(number, year), str(year))

    def _invoiced(self, benefit: str) -> SandboxRegistry[int]:
        return SandboxRegistry(
            self.database, "invoiced_fen", int, lambda number: _synthetic_invoices(number, benefit), benefit
        )


def _another(known: TaxYear) -> TaxYear:
    return replace(known, year=known.year - 1)


def _synthetic(id_number: str, year: int) -> TaxYear:
    """Return a year of a person whose income is similar each year, once they are old enough to work."""
    if year < birth_year(id_number) + EARNS_FROM_AGE:
        return TaxYear(year, 0, 0)
    person = random_for("income", id_number)
    usual_yuan = person.choices(((67_000, 272_000), (1_200_000, 3_000_000)), weights=(97, 3))[0]
    yuan = person.randint(*usual_yuan) * random_for(f"income {year}", id_number).randint(90, 110) // 100
    return TaxYear(year, yuan * YUAN, _tax_fen(yuan))


def _tax_fen(income_yuan: int) -> int:
    taxed, below, tax = max(0, income_yuan - TAX_FREE_YUAN), 0, 0
    for up_to, percent in BRACKETS:
        tax += max(0, min(taxed, up_to) - below) * percent
        below = up_to
    return tax + max(0, taxed - below) * TOP_PERCENT


def _synthetic_invoices(id_number: str, benefit: str) -> int:
    """Return the sum of a person's invoices; one in three people has none."""
    rng = random_for(f"invoices {benefit}", id_number)
    return rng.choice((0, 1, 1)) * rng.randint(1_000, 200_000) * YUAN


def make(settings: Settings) -> SandboxTax:
    """Create the sandbox on the database of the settings."""
    return SandboxTax(SandboxDatabase(settings.sandbox))

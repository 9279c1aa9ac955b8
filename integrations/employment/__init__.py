"""The sandbox of the registry of titles, prizes and posts: it invents, confirms, refutes, delays and errs."""

from datetime import datetime, timedelta
from random import Random
from typing import TypeVar, get_args

from backend.service import Integration
from backend.services.talent_code.facts import Post, PostName, Prize, PrizeName, Title, TitleName
from backend.services.talent_code.ports import Employment, Finding
from backend.settings import Settings
from integrations._sandbox import Books
from integrations._sandbox_registry import Register, birth_year, chance_of, confirm, day_of

T = TypeVar("T")
Merit = Prize | Title | Post


class SandboxEmployment:
    """Of ten people nine have no merit; most of the others have one title, of the commoner kinds."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._merits = Register(books, "confirm_merit", tuple[Merit, ...], self._invented)

    async def confirm_merit(self, id_number: str, evidence: str, merit: Merit) -> Finding:
        """Confirm a merit that equals one of the person's: the same name, and the same day in UTC+8.

        Of a post, the day of its end is the same too, or neither has ended. Raises Silent or Refused.
        """
        return await confirm(self._merits, id_number, evidence, merit)

    def known(self, id_number: str) -> tuple[Merit, ...]:
        """Give a person's true titles, prizes and posts."""
        return self._merits.known(id_number)

    def set_merits(self, id_number: str, *merits: Merit) -> None:
        """Let a person have these titles, prizes and posts from now on, and no others."""
        self._merits.set(id_number, merits)

    def _invented(self, id_number: str) -> tuple[Merit, ...]:
        chance = chance_of("merits", id_number)
        if chance.randrange(10) > 0:
            return ()
        now = self.books.clock()
        days = [
            day_of(birth_year(id_number) + chance.randint(28, 55), chance.randint(1, 12), chance.randint(1, 28))
            for _ in range(chance.choice((1, 1, 1, 2)))
        ]
        merits = [_merit(chance, day, now) for day in days]
        return tuple(merit for merit, day in zip(merits, days, strict=True) if day <= now)


def _merit(chance: Random, day: datetime, now: datetime) -> Merit:
    kind = chance.choices(("title", "prize", "post"), weights=(6, 3, 1))[0]
    if kind == "title":
        return Title(_one_of(chance, get_args(TitleName)), day)
    if kind == "prize":
        return Prize(_one_of(chance, get_args(PrizeName)), day)
    until = day + timedelta(days=chance.randint(365, 365 * 15))
    return Post(_one_of(chance, get_args(PostName)), day, until if until <= now else None)


def _one_of(chance: Random, names: tuple[T, ...]) -> T:
    """Draw a name; they stand in order, and the later, the commoner."""
    return chance.choices(names, weights=[place**3 for place in range(1, len(names) + 1)])[0]


def _make(settings: Settings) -> SandboxEmployment:
    return SandboxEmployment(Books(settings.sandbox))


integration = Integration(port=Employment, make=_make)

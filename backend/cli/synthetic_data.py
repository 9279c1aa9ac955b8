"""A synthetic city: its people, and the documents that each service would have about them.

The same seed creates the same people with the same ids, so an interrupted run is resumed by running it again: existing
documents are kept. The ID numbers are in divisions 99xxxx, which no authority issues, so none belongs to a real person;
otherwise they are valid, and every service accepts them.
"""

import asyncio
import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from random import Random

from msgspec.structs import replace

from backend.city.id_number import Sex, parse_id_number
from backend.city.invented_people import draw_name, invented_id_number, invented_name
from backend.city.person import Person, new_person
from backend.city.service import City, Service
from backend.store import Document, Duplicate
from backend.store.place import Place

BATCH_SIZE = 500
OLDEST_DAYS = 95 * 365


async def fill_city(
    city: City, services: Sequence[Service], citizens: int, seed: int, progress: Callable[[int, int], None]
) -> int:
    """Store the synthetic people and the documents of each service; return how many people are new.

    `progress` is called with the number of documents done and the approximate total.
    """
    people = list(islice(_people(city, Random(f"people {seed}")), citizens))  # noqa: S311  must be reproducible
    if await city.store.get(Person, people[-1].id):
        return 0
    synthesizers = [(service.name, service.synthesize) for service in services if service.synthesize]
    done, new = 0, 0
    # Persons are stored last: if the last one is there, the city is complete.
    sources: list[Iterable[Document]] = [
        *(synthesize(city, Random(f"{name} {seed}"), people) for name, synthesize in synthesizers),  # noqa: S311  likewise
        people,
    ]
    for position, source in enumerate(sources):
        total = done + citizens * (len(sources) - position)  # estimated as one document per person and source
        for batch in _batches(source):
            stored = await asyncio.gather(*(_store_new(city, document) for document in batch))
            done, new = done + len(batch), new + sum(stored) * isinstance(batch[0], Person)
            progress(done, max(done, total))
    return new


def _batches(source: Iterable[Document]) -> Iterator[list[Document]]:
    documents = iter(source)
    while batch := list(islice(documents, BATCH_SIZE)):
        yield batch


async def _store_new(city: City, document: Document) -> bool:
    with suppress(Duplicate):
        await city.store.insert(document)
        return True
    return False


def _people(city: City, rng: Random) -> Iterator[Person]:
    now = city.now()
    number = 0
    while True:
        sex: Sex = rng.choice(("female", "male"))
        born_on = now.date() - timedelta(days=int(OLDEST_DAYS * rng.betavariate(1.4, 1.8)))
        id_number = parse_id_number(invented_id_number(number, sex, born_on), now.date())
        draw_name(rng)  # not used any more; without it, an interrupted run of an older edition would not be resumed
        name = invented_name(id_number.number)
        person_id = base64.urlsafe_b64encode(rng.randbytes(12)).decode()
        encrypted = city.encryption.encrypt(name, Place.of(Person, person_id, "name"))
        yield replace(new_person(city.encryption, id_number, person_id, now), name=encrypted)
        number += 1

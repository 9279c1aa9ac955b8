"""A small city for each test: a temporary store and keys, the real rules, and a fixed clock."""

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NoReturn, TypeVar
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from litestar.utils.signature import ParsedSignature
from msgspec import Struct
from pymongo import MongoClient
from stdnum.cn import ric

import tests.draws  # noqa: F401  sets the profile of all property tests
from backend.app import create_app, documents_of
from backend.city.invented_people import invented_face
from backend.city.service import discover_services
from backend.rulebook import Rulebook, load_rulebook
from backend.security.identity import IN_PERSON
from backend.services.account.demo import enter_demo_staff
from backend.settings import Settings
from backend.store import Document, Store
from backend.store.connect import open_store, prepare_store
from tests.conformance import must_conform
from tests.keys import new_keys
from tests.mongod import NoMongodError, mongod
from tests.servers import redis_server

ROOT = Path(__file__).parent.parent
os.environ["CHENGMA_LANGUAGE"] = "en"  # what commands print does not depend on the machine's locale
T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out what is slow or needs a server: for `make check`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        left_out = [item for item in items if is_slow(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not is_slow(item)]


def is_slow(item: pytest.Item) -> bool:
    """Return whether `make check` leaves a test out: it is marked as slow, or needs a city, MongoDB or Redis."""
    callspec = getattr(item, "callspec", None)
    parameters = [] if callspec is None else [str(value) for value in callspec.params.values()]
    fixtures = {*getattr(item, "fixturenames", ())}
    return (
        item.get_closest_marker("slow") is not None
        or not fixtures.isdisjoint(("app", "client", "scene", "mongod_url", "redis_url"))
        or any(value.startswith("mongodb") for value in parameters)
    )


def lacking(program: str) -> NoReturn:
    """Skip a test that needs a program that is not installed; with CI=true, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{program} is not installed here, which CI=true forbids")
    pytest.skip(f"{program} is not installed here")


@pytest.fixture(scope="session")
def mongod_url() -> Iterator[str]:
    """A real mongod for the whole run, started on first use."""
    try:
        with mongod() as url:
            yield url
    except NoMongodError as error:
        lacking(f"mongod ({error})")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis for the whole run, started on first use."""
    if shutil.which("redis-server") is None and not os.environ.get("REDIS_URL"):
        lacking("redis-server")
    with redis_server() as url:
        yield url


@pytest.fixture
def database_url(mongod_url: str) -> Iterator[str]:
    """A database for this test only."""
    name = f"chengma_test_{uuid4().hex[:12]}"
    address, _, options = mongod_url.partition("?")
    yield f"{address.rstrip('/')}/{name}?{options}"
    with MongoClient[dict[str, object]](mongod_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def prepared_url(mongod_url: str) -> str:
    """A database that is prepared once, for all tests that empty it again.

    Each collection and index is a file of mongod, so a database for each test would exceed its open files.
    """
    address, _, options = mongod_url.partition("?")
    url = f"{address.rstrip('/')}/chengma_prepared_{uuid4().hex[:12]}?{options}"
    prepare_store(url, documents_of(discover_services()))
    return url


@pytest.fixture
def emptied_url(prepared_url: str) -> Iterator[str]:
    """The prepared database, empty when the test starts."""
    yield prepared_url
    with MongoClient[dict[str, object]](prepared_url) as client:
        database = client.get_default_database()
        for name in database.list_collection_names(filter={"name": {"$not": {"$regex": "^system"}}}):
            database[name].delete_many({})


@pytest.fixture(params=["sqlite", "mongodb"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty store of either kind, prepared for all documents of a city."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/city.db"
    url: str = request.getfixturevalue("emptied_url")
    return url


def work_in(address: str, work: Callable[[Store], Awaitable[T]], kinds: Sequence[type[Document]] = ()) -> T:
    """Open the store of an address, run `work` in a new event loop, and close the store."""

    async def run() -> T:
        store = open_store(address, [*documents_of(discover_services()), *kinds], driver="pymongo", timeout_ms=20_000)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


@pytest.fixture(scope="session", autouse=True)
def rules_are_read_once() -> Iterator[None]:
    """Read and compile the city's own rules once for all tests, which takes a third of a second.

    Rules that a test has written are read each time.
    """

    @cache
    def read(facts: tuple[type[Struct], ...], time_zone: ZoneInfo) -> Rulebook:
        return load_rulebook(ROOT / "rules", facts, time_zone)

    def load(folder: Path, facts: Sequence[type[Struct]], time_zone: ZoneInfo) -> Rulebook:
        own = folder != ROOT / "rules"
        return load_rulebook(folder, facts, time_zone) if own else read(tuple(facts), time_zone)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.app.load_rulebook", load)
        yield


@pytest.fixture(scope="session", autouse=True)
def signatures_are_parsed_once() -> Iterator[None]:
    """Parse the signature of each handler once for all cities of a run; it takes half of the time to create an app.

    That of a closure belongs to one app, which it would keep alive with its open files.
    """
    parse = ParsedSignature.from_fn
    parsed: dict[tuple[object, ...], ParsedSignature] = {}

    def from_fn(fn: Callable[..., object], signature_namespace: dict[str, object]) -> ParsedSignature:
        if getattr(fn, "__closure__", None):
            return parse(fn, signature_namespace)
        key = (fn, *sorted((name, id(kind)) for name, kind in signature_namespace.items()))
        if key not in parsed:
            parsed[key] = parse(fn, signature_namespace)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ParsedSignature, "from_fn", staticmethod(from_fn))
        yield


class Clock:
    """Returns the instant that a test has set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2022, 4, 20, 4, 0, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        store=f"sqlite:///{tmp_path}/city.db",
        keys=new_keys(tmp_path / "keys"),
        sandbox=str(tmp_path / "sandbox.db"),
        fhir_url="http://testserver.local/fhir",
        rules=str(ROOT / "rules"),
        store_timeout_ms=20_000,  # MongoDB shares the cores with other test processes
        development=True,
        access_log=False,
        person_requests_per_minute=100_000,
        address_requests_per_minute=100_000,
        refresh_token_days=36_500,  # tests move the clock by years, and people's apps renew their sessions meanwhile
    )


@pytest.fixture
def app(settings: Settings, clock: Clock) -> Litestar:
    return create_app(settings, clock=clock)


@pytest.fixture
def client(app: Litestar) -> Iterator[TestClient[Litestar]]:
    """A client of the city; every response is checked against the OpenAPI document."""
    with TestClient(app) as client:
        client.event_hooks["response"].append(must_conform)
        yield client


def newest_code(client: TestClient[Litestar], phone: str) -> str:
    """Return the last sign-in code sent to a phone, from the development outbox."""
    newest = client.post("/v1/development/outbox", json={"phone": phone}).json()["messages"][0]
    code = re.search(r"\d{6}", newest)
    assert code, newest
    return code[0]


class SignIn:
    """Signs people in as their apps do, with the code in the development outbox."""

    def __init__(self, client: TestClient[Litestar]) -> None:
        self.client = client
        self.refresh_tokens: dict[str, str] = {}

    def __call__(
        self,
        phone: str,
        *,
        name: str | None = None,
        id_number: str | None = None,
        roles: Sequence[str] = (),
        venues: Sequence[str] = (),
        level: int = IN_PERSON,
    ) -> dict[str, str]:
        """Return the headers of a signed-in person, whose identity is proved at a `level` if a name is given.

        Signing in again returns new headers. The default ID number is derived from the phone. Staff are invented
        people whose identity is proved in person, unless they are named.
        """
        if name is None and (roles or venues):
            self._enter(phone, roles, venues)
        tokens = self._refresh(phone) if phone in self.refresh_tokens else self._sign_in(phone)
        self.refresh_tokens[phone] = tokens["refresh_token"]
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        if name is not None:
            answer = self.prove(headers, name, id_number or id_number_for(phone), level)
            headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            if roles or venues:
                self._enter(phone, roles, venues)
                return self(phone)
        return headers

    def prove(self, headers: dict[str, str], name: str, id_number: str, level: int = IN_PERSON) -> httpx.Response:
        """Prove the identity of a signed-in person, who is present at level 3."""
        body = {"name": name, "id_number": id_number}
        if level < IN_PERSON:
            answer = self.client.put("/v1/me/real-name", json=body, headers=headers)
        else:
            body |= {"method": "face", "evidence": invented_face(id_number)}
            answer = self.client.post("/v1/me/identity-proofs", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer

    def _enter(self, phone: str, roles: Sequence[str], venues: Sequence[str]) -> None:
        city = self.client.app.state.city
        entered = self.client.blocking_portal.call(enter_demo_staff, city, phone, tuple(roles), tuple(venues))
        assert entered is not None, "the city has real operators"

    def _sign_in(self, phone: str) -> dict[str, str]:
        answer = self.client.post("/v1/sign-in-codes", json={"phone": phone})
        assert answer.status_code == 202, answer.text
        body = {"phone": phone, "challenge": answer.json()["challenge"], "code": newest_code(self.client, phone)}
        answer = self.client.post("/v1/sessions", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def _refresh(self, phone: str) -> dict[str, str]:
        answer = self.client.post("/v1/sessions/refresh", json={"refresh_token": self.refresh_tokens[phone]})
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
def sign_in(client: TestClient[Litestar]) -> SignIn:
    return SignIn(client)


def id_number_for(phone: str) -> str:
    """Return a valid, invented resident ID number of a person born in Hangzhou on 7 March 1990."""
    number = f"33010619900307{int(phone[-3:]):03d}"
    return number + ric.calc_check_digit(number + "0")

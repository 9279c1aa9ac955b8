"""Rulebooks in the store: published completely, loaded without a restart, rolled back."""

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app
from backend.city import following_releases
from backend.city.releases import (
    Activation,
    RulebookPointer,
    RulebookRelease,
    UnknownRelease,
    activate_release,
    digest_in_force,
    release_named,
    released_rulebook,
    store_release,
)
from backend.city.service import City, discover_services, rule_modules_of
from backend.rulebook import InvalidRulebook, Rulebook, load_rulebook, make_rulebook, read_rules
from backend.rulebook.needs import facts_of
from backend.settings import Settings
from backend.store import Conflict, Store
from tests.conftest import ROOT, SignIn, work_in
from tests.servers import wait_until

pytestmark = pytest.mark.slow

CITY = ZoneInfo("Asia/Shanghai")
NEEDED = rule_modules_of(discover_services())
FACTS = facts_of(NEEDED)
NOW = datetime(2022, 5, 1, tzinfo=UTC)
DEFAULT_REASON = "Nothing found"


def edition(folder: Path, new_reason: str) -> Path:
    """Return a copy of the city's rules in which a green code has another reason."""
    shutil.copytree(ROOT / "rules", folder)
    colour = folder / "health_code" / "colour.yaml"
    text = colour.read_text()
    assert DEFAULT_REASON in text
    colour.write_text(text.replace(DEFAULT_REASON, new_reason))
    return folder


async def publish(store: Store, folder: Path) -> Rulebook:
    rulebook = load_rulebook(folder, FACTS, CITY)
    await store_release(store, read_rules(folder), rulebook, NOW)
    await activate_release(store, rulebook.digest, NOW)
    return rulebook


def test_a_release_returns_the_rulebook_that_was_published(address: str, tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        assert await digest_in_force(store, NOW) is None
        published = await publish(store, edition(tmp_path / "one", "All is well"))
        assert await digest_in_force(store, NOW) == published.digest
        read = await released_rulebook(store, published.digest, NEEDED, CITY)
        assert read.digest == published.digest
        assert read.modules.keys() == published.modules.keys()

    work_in(address, work)


def test_publishing_the_same_again_changes_nothing(address: str, tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        folder = edition(tmp_path / "one", "All is well")
        for _ in range(2):
            published = await publish(store, folder)
        assert await store.count(RulebookRelease, {}) == 1
        pointer = await store.get(RulebookPointer, "in-force")
        assert pointer is not None
        assert pointer.past == (Activation(published.digest, NOW),)

    work_in(address, work)


def test_a_rollback_selects_a_release_by_the_beginning_of_its_digest(address: str, tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        one = await publish(store, edition(tmp_path / "one", "All is well"))
        two = await publish(store, edition(tmp_path / "two", "Nothing at all"))
        assert await digest_in_force(store, NOW) == two.digest
        await activate_release(store, await release_named(store, one.digest[:10]), NOW)
        assert await digest_in_force(store, NOW) == one.digest
        pointer = await store.get(RulebookPointer, "in-force")
        assert pointer is not None
        assert [entry.digest for entry in pointer.past] == [one.digest, two.digest, one.digest]
        with pytest.raises(UnknownRelease, match="no release's digest begins with 'beef"):
            await release_named(store, "beef" * 16)
        with pytest.raises(UnknownRelease, match="'' is too short"):
            await release_named(store, "")
        with pytest.raises(UnknownRelease):
            await activate_release(store, "beef", NOW)

    work_in(address, work)


def test_one_of_two_concurrent_activations_is_in_force_afterwards(address: str, tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        digests = [
            (await publish(store, edition(tmp_path / new_reason, new_reason))).digest
            for new_reason in ("one", "two", "three")
        ]
        both = (activate_release(store, digest, NOW) for digest in digests[:2])
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {Conflict, type(None)}
        assert await digest_in_force(store, NOW) in digests[:2]

    work_in(address, work)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_releases, "POLL_SECONDS", 0.05)


def publish_and_wait(client: TestClient[Litestar], folder: Path) -> Rulebook:
    """Publish a folder of rules, and return the rulebook once the running server uses it."""
    published = client.blocking_portal.call(publish, client.app.state.city.store, folder)
    wait_until(lambda: client.app.state.city.rulebook.digest == published.digest)
    return published


def reason(client: TestClient[Litestar], headers: dict[str, str]) -> tuple[str, str]:
    code = client.get("/v1/me/health-code", headers=headers).json()
    return code["because"]["en"], code["rulebook"]


@pytest.mark.usefixtures("quick")
def test_a_running_server_loads_a_published_rulebook(
    client: TestClient[Litestar], sign_in: SignIn, tmp_path: Path
) -> None:
    wang = sign_in("13800138000", name="王芳")
    before = reason(client, wang)
    assert before[0] == DEFAULT_REASON
    published = publish_and_wait(client, edition(tmp_path / "one", "All is well"))
    assert reason(client, wang) == ("All is well", published.digest)
    publish_and_wait(client, ROOT / "rules")
    assert reason(client, wang) == before


@pytest.mark.usefixtures("quick")
def test_a_request_keeps_the_rulebook_with_which_it_started(client: TestClient[Litestar], tmp_path: Path) -> None:
    """A City is immutable, so a request uses one rulebook even if another is published during the request."""
    city: City = client.app.state.city
    publish_and_wait(client, edition(tmp_path / "one", "All is well"))
    assert client.app.state.city is not city
    assert client.app.state.city.rulebook.digest != city.rulebook.digest
    with pytest.raises(AttributeError, match="immutable"):
        city.rulebook = client.app.state.city.rulebook  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.usefixtures("quick")
def test_a_release_that_does_not_fit_is_logged_and_not_used(
    client: TestClient[Litestar], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    city: City = client.app.state.city

    async def publish_broken() -> None:
        rulebook = await publish(city.store, edition(tmp_path / "one", "All is well"))
        release = await city.store.get(RulebookRelease, rulebook.digest)
        assert release is not None
        broken = {name: text.replace("facts.doses", "facts.dozes") for name, text in release.files.items()}
        await city.store.replace(replace(release, files=broken))

    def warnings() -> list[str]:
        return [record.message for record in caplog.records if "does not fit this edition" in record.message]

    client.blocking_portal.call(publish_broken)
    wait_until(warnings)
    client.blocking_portal.call(asyncio.sleep, 4 * following_releases.POLL_SECONDS)
    assert len(warnings()) == 1, "it is logged once"
    assert client.app.state.city.rulebook is city.rulebook
    answer = client.get("/health/ready")
    assert answer.status_code == 200, "a bad release takes no process out of service"
    assert "was published" in answer.json()["rulebook"]


def test_a_starting_server_uses_the_rulebook_in_force(settings: Settings, tmp_path: Path) -> None:
    with TestClient(create_app(settings)) as client:
        store = client.app.state.city.store
        published = client.blocking_portal.call(publish, store, edition(tmp_path / "one", "All is well"))
    with TestClient(create_app(settings)) as client:
        assert client.app.state.city.rulebook.digest == published.digest


def test_an_invalid_release_is_refused_with_file_and_line(address: str) -> None:
    async def work(store: Store) -> None:
        release = RulebookRelease(id="d" * 64, files={"health_code.frame": "module: x"}, published=NOW)
        await store.insert(release)
        with pytest.raises(InvalidRulebook, match=r"dddddddddddddddd/health_code\.frame:1:1"):
            await released_rulebook(store, release.id, NEEDED, CITY)

    work_in(address, work)


def test_a_new_rulebook_reuses_the_unchanged_modules_of_the_previous_one(tmp_path: Path) -> None:
    before = load_rulebook(ROOT / "rules", FACTS, CITY)
    shutil.copytree(ROOT / "rules", tmp_path / "rules")
    frame = tmp_path / "rules" / "health_code" / "frame.yaml"
    frame.write_text(frame.read_text(encoding="utf-8") + "# another edition\n", encoding="utf-8")
    files = read_rules(tmp_path / "rules")
    after = make_rulebook(files, FACTS, CITY, before)
    changed = {name for name in before.modules if after.modules[name] is not before.modules[name]}
    assert changed == {"health_code.frame"}
    assert after.digest == make_rulebook(files, FACTS, CITY).digest != before.digest

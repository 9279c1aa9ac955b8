"""The metrics of background work: the lag of a sweep, dead letters, and whether the store can write."""

from collections.abc import Callable
from datetime import timedelta

from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.city.service import City
from backend.jobs.tasks import DeadLetter, discover_tasks
from backend.operations.background_metrics import BackgroundMetrics
from backend.services.account.model.sign_in import SignInChallenge
from backend.services.account.tasks import sweep_sessions
from backend.store import D, StoreNotWritable
from backend.store.time import to_ms
from tests.counting_store import CountingStore

Client = TestClient[Litestar]
Value = Callable[[str], float]


class FullStore(CountingStore):
    """A store that cannot write."""

    async def insert(self, document: D) -> D:
        raise StoreNotWritable(f"no room for {document.id}")

    replace = insert


def measured(client: Client, city: City) -> Value:
    """Measure once, and return a function that returns the value of a metric, or of one sweep."""
    metrics = BackgroundMetrics(discover_tasks().values())
    client.blocking_portal.call(metrics.measure, city)
    samples = {
        sample.labels.get("sweep", sample.name): sample.value for family in metrics.read() for sample in family.samples
    }
    return samples.__getitem__


def test_the_lag_of_a_sweep_is_shown_until_it_has_run(client: Client) -> None:
    city: City = client.app.state.city
    ended = to_ms(city.now() - timedelta(minutes=7))
    challenge = SignInChallenge(id="digest", revision=1, code_digest="", expires_ms=ended)
    client.blocking_portal.call(city.store.restore, [challenge])
    assert round(measured(client, city)("account.sweep_sessions")) == 420
    client.blocking_portal.call(sweep_sessions, city)
    assert measured(client, city)("account.sweep_sessions") == 0


def test_jobs_that_failed_permanently_are_counted(client: Client) -> None:
    city: City = client.app.state.city
    assert measured(client, city)("chengma_dead_letters") == 0
    lost = DeadLetter(id="lost", revision=1, task="a", arguments=(), at_ms=1, dead=False)
    client.blocking_portal.call(city.store.restore, [lost, replace(lost, id="dead", dead=True)])
    assert measured(client, city)("chengma_dead_letters") == 1


def test_a_store_that_cannot_write_is_shown_and_the_rest_is_measured(client: Client) -> None:
    city: City = client.app.state.city
    assert measured(client, city)("chengma_store_writable") == 1
    full = measured(client, replace(city, store=FullStore(city.store)))
    assert (full("chengma_store_writable"), full("account.sweep_sessions")) == (0, 0)

"""Metrics of the listener for Prometheus: messages by event and answer, connections, and messages that are not done."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from backend.city.service import City
from backend.jobs.beside import beside, repeat
from backend.operations.metrics import gauge
from backend.services.medical_credit.model.hospital import HisMessage, MessageState
from backend.store import Order
from backend.store.time import to_ms
from integrations.his.hl7v2.event_table import event_label
from integrations.his.hl7v2.message import parse_header
from integrations.his.hl7v2.mllp_listener import MllpListener

MEASURE_SECONDS = 15.0
UNFINISHED: tuple[MessageState, ...] = ("received", "waiting", "failed")
"""States in which a message is not done: it was interrupted, waits for another one, or needs an operator."""

_CODES = ("AA", "AE", "AR", "CA", "CE", "CR")


class ListenerMetrics:
    """The metrics of one listener process: `answers` counts the replies, `unfinished` holds count and age by state."""

    def __init__(self) -> None:
        self.answers = Counter[tuple[str, str]]()
        self.unfinished: dict[MessageState, tuple[int, float]] = {}
        self.listener: MllpListener | None = None

    def count(self, raw: bytes, reply: bytes) -> None:
        """Count a reply by the event of its message and the code in MSA-1; that of a batch holds several."""
        event = "batch" if reply.startswith((b"FHS", b"BHS")) else event_label(parse_header(raw, "utf-8"))
        for acknowledgement in reply.split(b"\rMSA")[1:]:
            code = acknowledgement[1:3].decode("ascii", "replace")
            self.answers[event, code if code in _CODES else "none"] += 1

    def read(self) -> Iterator[Metric]:
        """Yield the metrics for Prometheus."""
        answers = CounterMetricFamily(
            "chengma_his_messages", "Answered HL7 v2 messages by event and answer", labels=("event", "answer")
        )
        for labels, number in list(self.answers.items()):
            answers.add_metric(labels, number)
        yield answers
        if self.listener is not None:
            counters = self.listener.counters
            yield gauge("chengma_his_connections", "Open MLLP connections", self.listener.open_connections)
            yield CounterMetricFamily(
                "chengma_his_connections_refused", "MLLP connections refused, too many", counters["refused"]
            )
            yield CounterMetricFamily(
                "chengma_his_dropped_bytes", "Bytes outside MLLP frames", counters["dropped_bytes"]
            )
        numbers = GaugeMetricFamily("chengma_his_messages_unfinished", "Messages that are not done", labels=("state",))
        ages = GaugeMetricFamily("chengma_his_oldest_message_seconds", "Age of the oldest of them", labels=("state",))
        for state, (number, seconds) in self.unfinished.items():
            numbers.add_metric((state,), number)
            ages.add_metric((state,), seconds)
        yield numbers
        yield ages

    @asynccontextmanager
    async def measured(self, current: Callable[[], City]) -> AsyncGenerator[None, None]:
        """Measure the messages that are not done every few seconds until the end of the block."""

        async def measure() -> None:
            self.unfinished = await unfinished_messages(current())

        async with beside(repeat(measure, MEASURE_SECONDS)):
            yield


async def unfinished_messages(city: City) -> dict[MessageState, tuple[int, float]]:
    """Return the number of messages in each unfinished state, and the age of the oldest in seconds."""
    found: dict[MessageState, tuple[int, float]] = {}
    for state in UNFINISHED:
        oldest = await city.store.find(HisMessage, {"state": state}, order=Order("received_ms"), limit=1)
        ages = [(to_ms(city.now()) - one.received_ms) / 1_000 for one in oldest.documents]
        found[state] = (await city.store.count(HisMessage, {"state": state}), max(0.0, *ages) if ages else 0.0)
    return found

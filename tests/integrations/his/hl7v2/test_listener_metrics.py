"""The metrics of the listener: what it answered, and which messages are not done."""

from datetime import timedelta

from prometheus_client import generate_latest

from backend.operations.metrics import make_registry
from integrations.his.hl7v2.listener_metrics import ListenerMetrics, unfinished_messages
from integrations.his.hl7v2.message_receiver import receive_message
from integrations.his.hl7v2.mllp_listener import Limits, MllpListener, Peer
from tests.integrations.his.hospital import Hl7System, transaction
from tests.services.medical_credit.scene import Patient, Scene


def shown(metrics: ListenerMetrics) -> list[str]:
    return generate_latest(make_registry(metrics.read)).decode().splitlines()


def test_answers_are_counted_by_event_and_code(scene: Scene, patient: Patient) -> None:
    system, metrics = Hl7System(patient=patient.id_number), ListenerMetrics()

    async def receive(text: str) -> None:
        async for reply in receive_message(scene.city, text.encode(), Peer("test")):
            metrics.count(text.encode(), reply)

    opening = system.registration("V1", acknowledgement="AL|AL")
    for message in (opening, system.message("ADT^A31", "PID|1"), system.message("XYZ^A99", "PID|1"), "MSH"):
        scene.call(receive, message)
    lines = shown(metrics)
    for labels in ('"CA",event="ADT^A04"', '"AA",event="ADT^A04"', '"AA",event="ADT^A31"'):
        assert f"chengma_his_messages_total{{answer={labels}}} 1.0" in lines
    assert 'chengma_his_messages_total{answer="AR",event="other"} 2.0' in lines


def test_messages_that_wait_are_counted_with_the_age_of_the_oldest(scene: Scene, patient: Patient) -> None:
    system = Hl7System(patient=patient.id_number)

    async def receive(text: str) -> None:
        async for _ in receive_message(scene.city, text.encode(), Peer("test")):
            pass

    for number in range(2):
        scene.call(receive, system.charge_message(f"V{number}", transaction("L1", "1.00")))
        scene.clock.now += timedelta(minutes=10)
    metrics = ListenerMetrics()
    metrics.unfinished = scene.call(unfinished_messages, scene.city)
    assert metrics.unfinished == {"received": (0, 0.0), "waiting": (2, 1_200.0), "failed": (0, 0.0)}
    assert 'chengma_his_oldest_message_seconds{state="waiting"} 1200.0' in shown(metrics)


def test_connections_are_shown(scene: Scene) -> None:
    metrics = ListenerMetrics()
    metrics.listener = MllpListener(lambda raw, peer: receive_message(scene.city, raw, peer), None, Limits())
    metrics.listener.counters["refused"] += 3
    lines = shown(metrics)
    assert "chengma_his_connections 0.0" in lines
    assert "chengma_his_connections_refused_total 3.0" in lines

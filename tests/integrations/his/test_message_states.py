"""A hospital sees the state of each of its messages, and of no other hospital's."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from backend.security.identity import Caller
from backend.services.medical_credit.model.hospital import Hospital
from tests.integrations.his.hospital import Hl7System, last_reply, transaction
from tests.services.medical_credit.scene import Patient, Scene


class MessageList:
    """Asks for the messages of a hospital, with its access token."""

    def __init__(self, scene: Scene, hospital: Hospital) -> None:
        self.scene, self.hospital = scene, hospital

    def get(self, path: str = "", scopes: tuple[str, ...] = ("system/*.rs",), **query: str) -> httpx.Response:
        caller = Caller(f"hospital:{self.hospital.id}", "backend-services", roles=("hospital",), scopes=scopes)
        token = self.scene.client.app.state.access.issue(caller, self.scene.clock.now, 300)
        headers = {"Authorization": f"Bearer {token}"}
        return self.scene.client.get(f"/v1/hospital/messages{path}", params=query, headers=headers)

    def found(self, **query: str) -> list[dict[str, Any]]:
        answer = self.get(**query)
        assert answer.status_code == 200, answer.text
        return answer.json()["messages"]


@pytest.fixture
def messages(scene: Scene, patient: Patient) -> MessageList:
    """Return the messages of a hospital that has sent one of each state, a day apart each."""
    system = Hl7System(patient=patient.id_number)
    sent = [
        system.registration("V1", control="DONE"),
        system.charge_message("V2", transaction("L1", "1.00"), control="WAITS"),
        system.charge_message("V1", transaction("L1", "1.005"), control="FAILS"),
        system.message("ADT^A31", "PID|1||P-1^^^HIS^MR", control="IGNORED"),
        Hl7System("HZ002").message("ADT^A31", "PID|1||P-1^^^HIS^MR", control="OTHER"),
    ]
    other = scene.hospital("HZ002", "市第二医院")

    for message in sent:
        scene.call(last_reply, scene.city, message)
        scene.clock.now += timedelta(days=1)
    assert other.id == "HZ002"
    return MessageList(scene, scene.first)


def test_messages_are_listed_newest_first_with_state_and_reason(messages: MessageList) -> None:
    found = messages.found()
    assert [one["control_id"] for one in found] == ["IGNORED", "FAILS", "WAITS", "DONE"]
    assert [one["state"] for one in found] == ["ignored", "failed", "waiting", "done"]
    assert [one["reason"] is None for one in found] == [False, False, False, True]
    assert "FT1-11" in found[1]["reason"]


def test_messages_are_found_by_state(messages: MessageList) -> None:
    for state in ("done", "waiting", "failed", "ignored"):
        assert [one["state"] for one in messages.found(state=state)] == [state]


def test_messages_are_found_by_control_id_and_state(messages: MessageList) -> None:
    assert [one["state"] for one in messages.found(control_id="WAITS")] == ["waiting"]
    assert messages.found(control_id="WAITS", state="done") == []


def test_messages_are_found_by_the_day_of_the_city(messages: MessageList) -> None:
    second = messages.scene.city.today() - timedelta(days=4)
    assert [one["control_id"] for one in messages.found(day=second.isoformat())] == ["WAITS"]
    assert messages.found(day=date.max.isoformat()) == messages.found(day=date.min.isoformat()) == []


def test_an_invalid_filter_names_the_parameter_as_it_was_sent_and_what_is_allowed(messages: MessageList) -> None:
    (state,) = messages.get(state="bogus").json()["errors"]
    assert state == {"pointer": "state", "detail": "须为以下之一：received、done、waiting、failed、ignored。"}
    (day,) = messages.get(day="29.11.2026").json()["errors"]
    assert day == {"pointer": "day", "detail": "须为日期，如2026-11-24。"}


def test_a_message_is_shown_with_its_acknowledgement_and_without_its_patient(
    messages: MessageList, patient: Patient
) -> None:
    (failed,) = messages.found(state="failed")
    shown = messages.get(f"/{failed['id']}")
    assert shown.status_code == 200
    assert "MSA|A" in shown.json()["acknowledgement"]
    assert patient.id_number not in shown.text


def test_another_hospital_sees_nothing_of_them(messages: MessageList) -> None:
    (failed,) = messages.found(state="failed")
    other = MessageList(messages.scene, Hospital(id="HZ002", name="", since_ms=0, jwks={}))
    assert [one["control_id"] for one in other.found()] == ["OTHER"]
    assert other.get(f"/{failed['id']}").status_code == 404
    assert other.found(control_id="DONE") == []


def test_the_token_needs_the_scope(messages: MessageList) -> None:
    refused = messages.get(scopes=("system/Encounter.read",))
    assert refused.status_code == 403
    assert "system/MessageHeader.s" in refused.headers["WWW-Authenticate"]
    assert messages.get(scopes=("system/MessageHeader.s",)).status_code == 200


def test_a_long_list_has_pages(messages: MessageList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.his.message_states.PAGE", 3)
    first = messages.get().json()
    second = messages.get(cursor=first["cursor"]).json()
    assert [len(page["messages"]) for page in (first, second)] == [3, 1]
    assert second["cursor"] is None

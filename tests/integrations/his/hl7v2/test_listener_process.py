"""The listener process, tested over real sockets with third-party clients."""

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hl7
import pytest
from hl7.mllp import open_hl7_connection

from backend.services.medical_credit.model.visit import Visit
from tests.integrations.his.hl7v2.listener_scene import Listener
from tests.integrations.his.hospital import Hl7System, connect, enrol, in_city, transaction
from tests.servers import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def listener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    folder = tmp_path_factory.mktemp("listener")
    if request.param == "sqlite":
        store = f"sqlite:///{folder}/city.db"
    else:
        address, _, options = request.getfixturevalue("mongod_url").partition("?")
        store = f"{address.rstrip('/')}/listener_{time.time_ns()}?{options}"
    running = Listener(folder, store)
    yield running
    assert running.process.stop() == 0, running.process.log_text()


@pytest.fixture
def system(listener: Listener) -> Hl7System:
    """Return the system of a hospital with a new patient."""
    return Hl7System(patient=listener.new_patient())


def billed(listener: Listener, number: str) -> Visit:
    wait_until(lambda: listener.visit(number).bill is not None, lambda: str(listener.visit(number)), 30)
    return listener.visit(number)


def test_a_visit_goes_from_registration_to_its_bill(listener: Listener, system: Hl7System) -> None:
    journey = [
        system.registration("J1"),
        system.charge_message("J1", transaction("L1", "50.00"), transaction("L2", "12.34")),
        system.visit_message("BAR^P01", "J1"),
        system.charge_message("J1", transaction("C1", "2.34", "CD", of="L2")),
        system.visit_message("ADT^A03", "J1"),
        system.visit_message("BAR^P06", "J1"),
    ]
    assert listener.codes(*journey) == ["AA"] * 6
    visit = billed(listener, "J1")
    assert visit.settlement is not None
    assert visit.settlement.split.medfee_fen == 6_000
    assert [line.title for line in visit.lines[:2]] == ["诊查费", "诊查费"]


def test_charges_before_their_visit_and_credits_before_their_charge_wait(listener: Listener, system: Hl7System) -> None:
    early = listener.send(
        system.charge_message("J2", transaction("C1", "1.00", "CD", of="L1")),
        system.charge_message("J2", transaction("L1", "30.00")),
    )
    assert [str(answer.segment("MSA")[1]) for answer in early] == ["AA", "AA"]
    assert [str(answer.segment("ERR")[4]) for answer in early] == ["W", "W"]
    assert listener.codes(system.registration("J2")) == ["AA"]
    assert listener.visit("J2").total_fen() == 2_900


def test_a_duplicate_message_gets_the_stored_reply(listener: Listener, system: Hl7System) -> None:
    opening, charge = system.registration("J3"), system.charge_message("J3", transaction("L1", "5.00"))
    first = listener.send(opening, charge)
    again = listener.send(charge, opening, charge)
    assert [str(answer) for answer in again] == [str(first[1]), str(first[0]), str(first[1])]
    assert listener.visit("J3").total_fen() == 500


def test_another_message_with_the_same_control_id_is_rejected(listener: Listener, system: Hl7System) -> None:
    assert listener.codes(system.registration("J4", control="SAME")) == ["AA"]
    (answer,) = listener.send(system.registration("J5", control="SAME"))
    assert str(answer.segment("MSA")[1]) == "AR"
    assert str(answer.segment("ERR")[3]).startswith("205^")


def own_visit(system: Hl7System) -> str:
    """Return the number of a visit of the patient of a system."""
    return f"J9-{system.patient[-6:]}"


@pytest.mark.parametrize(
    ("invalid_message", "code", "location", "condition"),
    [
        (lambda s: s.registration("W1", patient="11010519491231002X"), "AE", "PID^1^3", "204"),
        (lambda s: s.registration("W1", patient="110105194912310021"), "AR", "PID^1^3", "204"),
        (lambda s: s.registration("W1", class_="Z"), "AR", "PV1^1^2", "103"),
        (lambda s: s.registration(""), "AR", "PV1^1^19", "101"),
        (lambda s: s.charge_message(own_visit(s), transaction("T1", "1.005")), "AR", "FT1^1^11", "102"),
        (lambda s: s.charge_message(own_visit(s), transaction("T1", "1" * 30)), "AR", "FT1^1^11", "102"),
        (lambda s: s.charge_message(own_visit(s), transaction("T1", "1.00", "XX")), "AR", "FT1^1^6", "103"),
        (lambda s: s.charge_message(own_visit(s), transaction("T1", "1.00", code="")), "AR", "FT1^1^7", "101"),
        (lambda s: s.charge_message(own_visit(s), transaction("L1", "1.00")), "AR", "FT1^1^2", "205"),
        (lambda s: s.visit_message("ADT^A99", own_visit(s)), "AR", "MSH^1^9^1^2", "201"),
        (lambda s: s.visit_message("QBP^Q11", own_visit(s)), "AR", "MSH^1^9^1^1", "200"),
        (lambda _: Hl7System("NOBODY").registration("W1"), "AR", "MSH^1^4", "204"),
    ],
)
def test_errors_are_reported_by_segment_and_field(
    listener: Listener, system: Hl7System, invalid_message: object, code: str, location: str, condition: str
) -> None:
    visit = own_visit(system)
    listener.codes(system.registration(visit), system.charge_message(visit, transaction("L1", "50.00")))
    (answer,) = listener.send(invalid_message(system))  # type: ignore[operator]
    assert str(answer.segment("MSA")[1]) == code
    assert str(answer.segment("ERR")[2]) == location
    assert str(answer.segment("ERR")[3]).split("^")[0] == condition


def test_in_enhanced_mode_the_accept_acknowledgement_precedes_the_application_acknowledgement(
    listener: Listener, system: Hl7System
) -> None:
    async def converse() -> list[str]:
        reader, writer = await open_hl7_connection("127.0.0.1", listener.port, encoding="utf-8")
        writer.writemessage(hl7.parse(system.registration("E1", acknowledgement="AL|AL")))
        answers = [await asyncio.wait_for(reader.readmessage(), 10) for _ in range(2)]
        writer.writemessage(hl7.parse(system.charge_message("E1", transaction("L1", "1.00"), acknowledgement="AL|NE")))
        answers.append(await asyncio.wait_for(reader.readmessage(), 10))
        writer.writemessage(hl7.parse(system.charge_message("E1", transaction("L1", "1.005"), acknowledgement="ER|ER")))
        answers.append(await asyncio.wait_for(reader.readmessage(), 10))
        writer.close()
        return [str(answer.segment("MSA")[1]) for answer in answers]

    assert asyncio.run(converse()) == ["CA", "AA", "CA", "AR"]


def test_a_hospital_may_use_gb18030_and_gets_replies_in_it(listener: Listener) -> None:
    in_city(listener.environment, lambda city: connect(city, "GB001", encoding="gb18030"))
    system = Hl7System("GB001", "GB 18030-2000", listener.new_patient())
    title = "丅朶侓鈥"  # the second bytes of these are delimiters
    journey = [system.registration("G1"), system.charge_message("G1", transaction("L1", "8.00", title=title))]
    assert listener.codes(*journey, encoding="gb18030") == ["AA", "AA"]
    assert listener.visit("G1", "GB001").lines[0].title == title


def test_mllp_send_delivers_a_file_of_messages(listener: Listener, system: Hl7System, tmp_path: Path) -> None:
    messages = [system.registration("S1"), system.charge_message("S1", transaction("L1", "3.00"))]
    file = tmp_path / "messages.hl7"
    file.write_bytes(b"".join(b"\x0b" + message.encode() + b"\x1c\r" for message in messages))
    sender = Path(sys.executable).with_name("mllp_send")
    run = [sys.executable, str(sender), "--file", str(file), "--port", str(listener.port), "127.0.0.1"]
    done = subprocess.run(run, capture_output=True, timeout=30, check=True)
    assert done.stdout.count(b"MSA|AA|") == 2
    assert listener.visit("S1").total_fen() == 300


def test_failed_messages_are_listed_shown_without_the_patient_and_retried(
    listener: Listener, system: Hl7System
) -> None:
    late = "110101199003071233"
    control = f"LATE{time.time_ns()}"
    assert listener.codes(system.registration("L1", patient=late, control=control)) == ["AE"]
    line = next(line for line in listener.command("his", "messages", "list").splitlines() if control in line)
    shown = listener.command("his", "messages", "show", line.split()[0])
    assert "ADT^A04" in shown
    assert late not in shown
    assert "小明" not in shown
    assert late in listener.command("his", "messages", "show", line.split()[0], "--whole")
    in_city(listener.environment, lambda city: enrol(city, late))
    assert "is done" in listener.command("his", "messages", "retry", line.split()[0])
    assert listener.visit("L1").stage() == "open"


def test_no_message_is_lost_or_duplicated_when_the_listener_is_killed(listener: Listener, system: Hl7System) -> None:
    messages = [
        system.registration("K1"),
        *(system.charge_message("K1", transaction(f"L{n}", "1.00")) for n in range(40)),
    ]
    acknowledged = 0
    for index, message in enumerate(messages):
        if index in (7, 23):
            with socket.create_connection(("127.0.0.1", listener.port)) as sender:
                sender.sendall(b"\x0b" + message.encode() + b"\x1c\r")
                time.sleep(0.002 * index)
            listener.process.kill()
            listener.start()
        acknowledged += listener.codes(message) == ["AA"]
    assert acknowledged == len(messages)
    assert listener.visit("K1").total_fen() == 4_000


def test_hostile_input_is_rejected_or_disconnected_and_the_listener_survives(
    listener: Listener, system: Hl7System
) -> None:
    good = system.registration("H1")
    huge = b"\x0b" + good.encode() + b"Z" * 50_000_000 + b"\x1c\r"
    many = good + "NTE|1||x\r" * 10_000
    unclosed = b"\x0b" + good.encode()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as sender:
        try:
            sender.sendall(huge)
        except OSError:
            pass
        else:
            assert b"MSA|AR|" in sender.recv(65_536)
    assert listener.codes(many) == ["AR"]
    with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as sender:
        sender.sendall(unclosed)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as sender:
        sender.sendall(b"\x0b" + good.encode("gb18030").replace("王".encode("gb18030"), b"\xff\xfe") + b"\x1c\r")
        assert b"MSA|AR|" in sender.recv(65_536)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as sender:
        sender.sendall(b"GET / HTTP/1.1\r\n" * 200)
        assert sender.recv(10) == b""
    assert listener.codes(good) == ["AA"]
    resident = int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{listener.process.pid}/status").read_text())[0])
    assert resident < 300_000, "kilobytes"

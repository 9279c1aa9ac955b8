"""The listener as a process of its own, spoken to over real sockets by clients that we did not write."""

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import hl7
import pytest
from hl7.mllp import open_hl7_connection

from backend.services.medical_credit.model.visit import Visit
from tests.integrations.his.hospital import System, connect, enrol, in_city, transaction, visit_of
from tests.servers import Process, chengma, city_environment, wait_until
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow


class Listener:
    """A city on a store of its own whose listener runs."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self.environment = city_environment(folder, store, "", mllp_port=0)
        self.command("migrate")
        self._people = count(1)
        in_city(self.environment, connect)
        self.start()

    def start(self) -> None:
        self.process: Process = chengma(self.folder, "listen", self.environment, "his", "listen")
        before = len(self._ports())
        wait_until(lambda: len(self._ports()) > before, self.process.said, 30)
        self.port = int(self._ports()[-1])

    def _ports(self) -> list[str]:
        log = self.folder / "listen.log"
        return re.findall(r"listening for HL7 v2 on port (\d+)", log.read_text()) if log.exists() else []

    def command(self, *arguments: str) -> str:
        """Run a command of the city, and give what it printed."""
        run = [sys.executable, "-m", "backend", *arguments]
        done = subprocess.run(run, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, *messages: str, encoding: str = "utf-8") -> list[hl7.Message]:
        """Send messages with python-hl7's own client, one after the other, and give the answers."""

        async def converse() -> list[hl7.Message]:
            reader, writer = await open_hl7_connection("127.0.0.1", self.port, encoding=encoding)
            answers: list[hl7.Message] = []
            for message in messages:
                writer.writemessage(hl7.parse(message))
                await writer.drain()
                answers.append(await asyncio.wait_for(reader.readmessage(), 10))
            writer.close()
            await writer.wait_closed()
            return answers

        return asyncio.run(converse())

    def codes(self, *messages: str, encoding: str = "utf-8") -> list[str]:
        return [str(answer.segment("MSA")[1]) for answer in self.ask(*messages, encoding=encoding)]

    def visit(self, number: str, hospital: str = "HZ001") -> Visit:
        visit = visit_of(self.environment, number, hospital)
        assert visit is not None
        return visit

    def new_patient(self) -> str:
        number = id_number(next(self._people))
        in_city(self.environment, lambda city: enrol(city, number))
        return number


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def listener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    folder = tmp_path_factory.mktemp("listener")
    if request.param == "sqlite":
        store = f"sqlite:///{folder}/city.db"
    else:
        address, _, options = request.getfixturevalue("mongod_url").partition("?")
        store = f"{address.rstrip('/')}/listener_{time.time_ns()}?{options}"
    made = Listener(folder, store)
    yield made
    assert made.process.stop() == 0, made.process.said()


@pytest.fixture
def system(listener: Listener) -> System:
    """Give the system of a hospital to which a new patient comes."""
    return System(patient=listener.new_patient())


def billed(listener: Listener, number: str) -> Visit:
    wait_until(lambda: listener.visit(number).bill is not None, lambda: str(listener.visit(number)), 30)
    return listener.visit(number)


def test_a_visit_goes_from_registration_to_its_bill(listener: Listener, system: System) -> None:
    journey = [
        system.opens("J1"),
        system.charges("J1", transaction("L1", "50.00"), transaction("L2", "12.34")),
        system.tells("BAR^P01", "J1"),
        system.charges("J1", transaction("C1", "2.34", "CD", of="L2")),
        system.tells("ADT^A03", "J1"),
        system.tells("BAR^P06", "J1"),
    ]
    assert listener.codes(*journey) == ["AA"] * 6
    visit = billed(listener, "J1")
    assert visit.settlement is not None
    assert visit.settlement.split.medfee_fen == 6_000
    assert [line.title for line in visit.lines[:2]] == ["诊查费", "诊查费"]


def test_charges_before_their_visit_and_credits_before_their_charge_wait(listener: Listener, system: System) -> None:
    early = listener.ask(
        system.charges("J2", transaction("C1", "1.00", "CD", of="L1")),
        system.charges("J2", transaction("L1", "30.00")),
    )
    assert [str(answer.segment("MSA")[1]) for answer in early] == ["AA", "AA"]
    assert [str(answer.segment("ERR")[4]) for answer in early] == ["W", "W"]
    assert listener.codes(system.opens("J2")) == ["AA"]
    assert listener.visit("J2").total_fen() == 2_900


def test_a_message_that_comes_again_is_answered_from_the_store(listener: Listener, system: System) -> None:
    opening, charge = system.opens("J3"), system.charges("J3", transaction("L1", "5.00"))
    first = listener.ask(opening, charge)
    again = listener.ask(charge, opening, charge)
    assert [str(answer) for answer in again] == [str(first[1]), str(first[0]), str(first[1])]
    assert listener.visit("J3").total_fen() == 500


def test_another_message_under_the_same_control_id_is_refused(listener: Listener, system: System) -> None:
    assert listener.codes(system.opens("J4", control="SAME")) == ["AA"]
    (answer,) = listener.ask(system.opens("J5", control="SAME"))
    assert str(answer.segment("MSA")[1]) == "AE"
    assert str(answer.segment("ERR")[3]).startswith("205^")


@pytest.mark.parametrize(
    ("wrong", "code", "place", "condition"),
    [
        (lambda s: s.opens("W1", patient="11010519491231002X"), "AE", "PID^1^3", "204"),
        (lambda s: s.opens("W1", patient="110105194912310021"), "AE", "PID^1^3", "204"),
        (lambda s: s.opens("W1", class_="Z"), "AE", "PV1^1^2", "103"),
        (lambda s: s.opens(""), "AE", "PV1^1^19", "101"),
        (lambda s: s.charges("J9", transaction("T1", "1.005")), "AE", "FT1^1^11", "102"),
        (lambda s: s.charges("J9", transaction("T1", "1" * 30)), "AE", "FT1^1^11", "102"),
        (lambda s: s.charges("J9", transaction("T1", "1.00", "XX")), "AE", "FT1^1^6", "103"),
        (lambda s: s.charges("J9", transaction("T1", "1.00", code="")), "AE", "FT1^1^7", "101"),
        (lambda s: s.charges("J9", transaction("L1", "1.00")), "AE", "FT1^1^2", "205"),
        (lambda s: s.tells("ADT^A99", "J9"), "AR", "MSH^1^9^1^2", "201"),
        (lambda s: s.tells("ORU^R01", "J9"), "AR", "MSH^1^9^1^1", "200"),
        (lambda _: System("NOBODY").opens("W1"), "AR", "MSH^1^4", "204"),
    ],
)
def test_what_is_wrong_is_told_by_segment_and_field(
    listener: Listener, system: System, wrong: object, code: str, place: str, condition: str
) -> None:
    listener.codes(system.opens("J9"), system.charges("J9", transaction("L1", "50.00")))
    (answer,) = listener.ask(wrong(system))  # type: ignore[operator]
    assert str(answer.segment("MSA")[1]) == code
    assert str(answer.segment("ERR")[2]) == place
    assert str(answer.segment("ERR")[3]).split("^")[0] == condition


def test_in_enhanced_mode_a_commit_comes_first_and_then_what_the_application_says(
    listener: Listener, system: System
) -> None:
    async def converse() -> list[str]:
        reader, writer = await open_hl7_connection("127.0.0.1", listener.port, encoding="utf-8")
        writer.writemessage(hl7.parse(system.opens("E1", acknowledgement="AL|AL")))
        answers = [await asyncio.wait_for(reader.readmessage(), 10) for _ in range(2)]
        writer.writemessage(hl7.parse(system.charges("E1", transaction("L1", "1.00"), acknowledgement="AL|NE")))
        answers.append(await asyncio.wait_for(reader.readmessage(), 10))
        writer.writemessage(hl7.parse(system.charges("E1", transaction("L1", "1.005"), acknowledgement="ER|ER")))
        answers.append(await asyncio.wait_for(reader.readmessage(), 10))
        writer.close()
        return [str(answer.segment("MSA")[1]) for answer in answers]

    assert asyncio.run(converse()) == ["CA", "AA", "CA", "AE"]


def test_a_hospital_that_writes_gb18030_is_understood_and_answered_in_it(listener: Listener) -> None:
    in_city(listener.environment, lambda city: connect(city, "GB001", encoding="gb18030"))
    system = System("GB001", "GB 18030-2000", listener.new_patient())
    title = "丅朶侓鈥"  # the second bytes of these are delimiters
    journey = [system.opens("G1"), system.charges("G1", transaction("L1", "8.00", title=title))]
    assert listener.codes(*journey, encoding="gb18030") == ["AA", "AA"]
    assert listener.visit("G1", "GB001").lines[0].title == title


def test_mllp_send_delivers_a_file_of_messages(listener: Listener, system: System, tmp_path: Path) -> None:
    messages = [system.opens("S1"), system.charges("S1", transaction("L1", "3.00"))]
    file = tmp_path / "messages.hl7"
    file.write_bytes(b"".join(b"\x0b" + message.encode() + b"\x1c\r" for message in messages))
    sender = Path(sys.executable).with_name("mllp_send")
    run = [sys.executable, str(sender), "--file", str(file), "--port", str(listener.port), "127.0.0.1"]
    done = subprocess.run(run, capture_output=True, timeout=30, check=True)
    assert done.stdout.count(b"MSA|AA|") == 2
    assert listener.visit("S1").total_fen() == 300


def test_messages_that_failed_are_listed_shown_without_the_patient_and_tried_again(
    listener: Listener, system: System
) -> None:
    late = "110101199003071233"
    control = f"LATE{time.time_ns()}"
    assert listener.codes(system.opens("L1", patient=late, control=control)) == ["AE"]
    line = next(line for line in listener.command("his", "messages", "list").splitlines() if control in line)
    shown = listener.command("his", "messages", "show", line.split()[0])
    assert "ADT^A04" in shown
    assert late not in shown
    assert "小明" not in shown
    assert late in listener.command("his", "messages", "show", line.split()[0], "--whole")
    in_city(listener.environment, lambda city: enrol(city, late))
    assert "is done" in listener.command("his", "messages", "retry", line.split()[0])
    assert listener.visit("L1").stage() == "open"


def test_no_message_is_lost_or_doubled_when_the_listener_is_killed(listener: Listener, system: System) -> None:
    messages = [system.opens("K1"), *(system.charges("K1", transaction(f"L{n}", "1.00")) for n in range(40))]
    acknowledged = 0
    for place, message in enumerate(messages):
        if place in (7, 23):
            with socket.create_connection(("127.0.0.1", listener.port)) as hasty:
                hasty.sendall(b"\x0b" + message.encode() + b"\x1c\r")
                time.sleep(0.002 * place)
            listener.process.kill()
            listener.start()
        acknowledged += listener.codes(message) == ["AA"]
    assert acknowledged == len(messages)
    assert listener.visit("K1").total_fen() == 4_000


def test_what_is_hostile_is_answered_or_cut_off_and_the_listener_lives(listener: Listener, system: System) -> None:
    good = system.opens("H1")
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
    assert resident < 300_000, "kilobytes at the most"

"""The conformance checks: all pass against our own city, and the right ones fail against faulty systems."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from integrations.his.command import his
from integrations.his.conformance.checks import CheckFailed
from integrations.his.conformance.fhir_checks import CHECKS as FHIR_CHECKS
from integrations.his.conformance.fhir_checks import FhirTester
from integrations.his.conformance.mllp_checks import CHECKS as MLLP_CHECKS
from integrations.his.conformance.mllp_checks import MllpTester, control_id
from integrations.his.hl7v2.acknowledgement import acknowledge
from integrations.his.hl7v2.message import parse_header
from integrations.his.hl7v2.mllp_client import MllpClient
from integrations.his.hl7v2.mllp_listener import MessageHandler, Peer, serve_mllp
from tests.integrations.his.hl7v2.test_listener_process import Listener
from tests.integrations.his.hospital import connect, enrol, in_city
from tests.servers import Process, chengma, free_port, listens, wait_until
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow


def a_key() -> dict[str, str]:
    private = ec.generate_private_key(ec.SECP384R1())
    return {**ECAlgorithm.to_jwk(private, as_dict=True), "kid": "kit", "alg": "ES384", "use": "sig"}


class OwnCity(Listener):
    """A city with a running API and listener, and a hospital with a key."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, f"sqlite:///{folder}/city.db")
        self.key = folder / "key.json"
        self.key.write_text(json.dumps(a_key()))
        public = {name: value for name, value in json.loads(self.key.read_text()).items() if name != "d"}
        settings = {"jwks": {"keys": [public]}, "people_without_credit": "ignore"}  # as `hospitals add` sets it
        in_city(self.environment, lambda city: connect(city, "KIT01", **settings))
        self.patient = id_number(999)
        in_city(self.environment, lambda city: enrol(city, self.patient))
        self.api_port = free_port()
        environment = {**self.environment, "CHENGMA_PORT": str(self.api_port), "CHENGMA_ACCESS_LOG": "false"}
        self.api: Process = chengma(folder, "api", environment, "serve")
        wait_until(lambda: listens(self.api_port), self.api.log_text, 30)


@pytest.fixture(scope="module")
def own_city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnCity]:
    running = OwnCity(tmp_path_factory.mktemp("kit"))
    yield running
    running.api.stop()
    running.process.stop()


def test_our_own_city_passes_every_check_and_the_report_lists_them(own_city: OwnCity, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    run = [sys.executable, "-m", "backend", "his", "conformance", "--hospital", "KIT01", "--key", str(own_city.key)]
    run += ["--fhir", f"http://127.0.0.1:{own_city.api_port}/fhir", "--mllp", f"127.0.0.1:{own_city.port}"]
    environment = {**own_city.environment, "KIT_PATIENT": own_city.patient}
    done = subprocess.run([*run, "--report", str(report)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    count = len(MLLP_CHECKS.checks) + len(FHIR_CHECKS.checks)
    assert f"{count} of {count} checks passed" in done.stdout
    assert report.read_text().count("| yes | yes |") >= count - 1


def test_our_own_city_passes_every_check_of_a_hospital_in_enhanced_mode(own_city: OwnCity) -> None:
    in_city(own_city.environment, lambda city: connect(city, "KIT02", acknowledgement="enhanced"))
    tester = MllpTester("127.0.0.1", own_city.port, "KIT02", own_city.patient)
    skipped = {"idle_connection_stays_open", "slow_sender_is_not_disconnected", "oversized_message_is_rejected"}
    names = [one.name for one in MLLP_CHECKS.checks if one.name not in skipped]
    results = asyncio.run(MLLP_CHECKS.run(tester, names))
    assert [(one.name, one.expected, one.actual) for one in results if not one.passed] == []


def test_a_run_without_a_target_fails_with_code_2(own_city: OwnCity) -> None:
    run = [sys.executable, "-m", "backend", "his", "conformance", "--hospital", "KIT01", "--patient", "x"]
    assert subprocess.run(run, env=own_city.environment, capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize(
    ("target", "only"),
    [(["--mllp", "127.0.0.1:1"], "nonsense"), (["--mllp", "127.0.0.1:1"], FHIR_CHECKS.checks[0].name)],
    ids=["of no interface", "of the other interface"],
)
def test_a_check_that_does_not_exist_is_refused_with_the_names_of_all(target: list[str], only: str) -> None:
    run = ["conformance", *target, "--hospital", "KIT01", "--patient", "x"]
    names = [one.name for one in MLLP_CHECKS.checks]
    refused = CliRunner().invoke(his, [*run, "--only", names[0], "--only", only])
    assert refused.exit_code == 2
    assert f"--mllp has no check {only}" in refused.output
    assert [line.strip() for line in refused.output.splitlines() if line.startswith("  ")] == names


def test_the_help_lists_all_checks() -> None:
    shown = CliRunner().invoke(his, ["conformance", "--help"]).output
    assert [one.name for suite in (MLLP_CHECKS, FHIR_CHECKS) for one in suite.checks if one.name not in shown] == []


# ── faulty systems ──


def failed_mllp(handle: MessageHandler, *only: str) -> set[str]:
    """Return the names of the checks that fail for a listener with this message handler."""

    async def run() -> set[str]:
        async with serve_mllp(handle, "127.0.0.1", 0) as listener:
            results = await MLLP_CHECKS.run(MllpTester("127.0.0.1", listener.port, "KIT01", id_number(1)), only)
        return {one.name for one in results if not one.passed}

    return asyncio.run(run())


async def accepts_everything(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
    yield acknowledge(parse_header(raw, "utf-8"), "AA", control_id="1", now=datetime.now(UTC))


async def acknowledges_another_message(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
    answer = acknowledge(parse_header(raw, "utf-8"), "AA", control_id="1", now=datetime.now(UTC))
    head, _, rest = answer.partition(b"MSA|AA|")
    yield head + b"MSA|AA|OTHER" + rest[rest.index(b"\r") :]


async def answers_in_two_phases(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
    header = parse_header(raw, "utf-8")
    yield acknowledge(header, "CA", control_id="1", now=datetime.now(UTC))
    await asyncio.sleep(0.05)
    yield acknowledge(header, "AE", control_id="2", now=datetime.now(UTC))


async def only_commits(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
    yield acknowledge(parse_header(raw, "utf-8"), "CA", control_id="1", now=datetime.now(UTC))


async def never_replies(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
    if not raw:
        yield b""
    await asyncio.sleep(30)


def test_a_system_that_accepts_everything_fails() -> None:
    names = (
        "every_message_type_is_acknowledged",
        "errors_name_segment_and_field",
        "duplicate_message_is_processed_once",
        "invalid_encoding_is_rejected",
        "enhanced_mode_is_supported",
    )
    assert failed_mllp(accepts_everything, *names) == set(names[1:])


def test_a_system_that_acknowledges_another_message_fails() -> None:
    name = "acknowledgement_references_its_message"
    assert failed_mllp(acknowledges_another_message, name) == {name}


def test_medplum_7115_the_answer_to_a_message_is_the_application_acknowledgement_and_not_the_commit() -> None:
    """Hl7Client.sendAndWait took the commit (CA) as the answer, and the answer of any message as that of its own."""

    async def run(handle: MessageHandler, *, count: int) -> list[tuple[str, str]]:
        async with serve_mllp(handle, "127.0.0.1", 0) as listener:
            tester = MllpTester("127.0.0.1", listener.port, "KIT01", id_number(1))
            messages = [tester.registration(f"V{number}", control=f"{tester.run}{number}") for number in range(count)]
            answers = await tester.send(*messages)
        fields = [answer.segment("MSA") for answer in answers]
        return [(one.field(1).text, one.field(2).text.removeprefix(tester.run)) for one in fields]

    assert asyncio.run(run(answers_in_two_phases, count=3)) == [("AE", "0"), ("AE", "1"), ("AE", "2")]
    with pytest.raises(CheckFailed, match="in MSA-2"):
        asyncio.run(run(acknowledges_another_message, count=1))


def test_a_system_that_commits_and_never_answers_fails() -> None:
    tester = MllpTester("127.0.0.1", 0, "KIT01", id_number(1))

    async def run() -> None:
        async with serve_mllp(only_commits, "127.0.0.1", 0) as listener:
            tester.port = listener.port
            async with MllpClient("127.0.0.1", listener.port, timeout_seconds=0.3) as client:
                message = tester.registration("V1")
                await client.send(message.encode())
                await tester.receive_answer(client, control_id(message), "utf-8")

    with pytest.raises(CheckFailed, match="after the accept acknowledgement, got CA"):
        asyncio.run(run())


def test_a_system_that_never_replies_fails() -> None:
    name = "two_messages_in_one_packet_are_both_acknowledged"
    assert failed_mllp(never_replies, name) == {name}


class NotFhir(BaseHTTPRequestHandler):
    """Responds to every request with some JSON."""

    def do_GET(self) -> None:
        body = b'{"resourceType": "Nonsense", "access_token": "x", "token_type": "bearer", "token_endpoint": "x"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.wfile.write(body)

    do_POST = do_PUT = do_GET  # noqa: N815  the names that http.server requires

    def log_message(self, *_: object) -> None:
        """Suppress the log."""


def test_a_system_with_json_but_without_fhir_fails() -> None:
    with HTTPServer(("127.0.0.1", 0), NotFhir) as server:
        serving = Thread(target=server.serve_forever, daemon=True)
        serving.start()
        tester = FhirTester(f"http://127.0.0.1:{server.server_port}/fhir", "KIT01", id_number(1), a_key())
        results = asyncio.run(FHIR_CHECKS.run(tester))
        server.shutdown()
        serving.join()
    assert {one.name for one in results if one.passed} == {"signed_assertion_yields_a_token"}

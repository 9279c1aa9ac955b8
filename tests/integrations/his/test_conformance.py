"""The kit against ourselves, where every check holds, and against systems that do wrong, where the right ones fail."""

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
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from integrations.his.conformance.fhir import KIT as FHIR_KIT
from integrations.his.conformance.fhir import FhirBench
from integrations.his.conformance.mllp import KIT as MLLP_KIT
from integrations.his.conformance.mllp import MllpBench
from integrations.his.hl7v2.acknowledgement import acknowledge
from integrations.his.hl7v2.message import header_of
from integrations.his.hl7v2.mllp import Peer, Take, serve_mllp
from tests.integrations.his.hospital import connect, enrol, in_city
from tests.integrations.his.test_listener import Listener
from tests.servers import Process, chengma, free_port, listens, wait_until
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow


def a_key() -> dict[str, str]:
    private = ec.generate_private_key(ec.SECP384R1())
    return {**ECAlgorithm.to_jwk(private, as_dict=True), "kid": "kit", "alg": "ES384", "use": "sig"}


class Ourselves(Listener):
    """A city whose API and listener run, and a hospital with a key."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, f"sqlite:///{folder}/city.db")
        self.key = folder / "key.json"
        self.key.write_text(json.dumps(a_key()))
        public = {name: value for name, value in json.loads(self.key.read_text()).items() if name != "d"}
        in_city(self.environment, lambda city: connect(city, "KIT01", jwks={"keys": [public]}))
        self.patient = id_number(999)
        in_city(self.environment, lambda city: enrol(city, self.patient))
        self.api_port = free_port()
        environment = {**self.environment, "CHENGMA_PORT": str(self.api_port), "CHENGMA_ACCESS_LOG": "false"}
        self.api: Process = chengma(folder, "api", environment, "serve")
        wait_until(lambda: listens(self.api_port), self.api.said, 30)


@pytest.fixture(scope="module")
def ourselves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ourselves]:
    made = Ourselves(tmp_path_factory.mktemp("kit"))
    yield made
    made.api.stop()
    made.process.stop()


def test_every_check_holds_of_ourselves_and_the_report_says_so(ourselves: Ourselves, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    run = [sys.executable, "-m", "backend", "his", "conformance", "--hospital", "KIT01", "--key", str(ourselves.key)]
    run += ["--fhir", f"http://127.0.0.1:{ourselves.api_port}/fhir", "--mllp", f"127.0.0.1:{ourselves.port}"]
    environment = {**ourselves.environment, "KIT_PATIENT": ourselves.patient}
    done = subprocess.run([*run, "--report", str(report)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    count = len(MLLP_KIT.checks) + len(FHIR_KIT.checks)
    assert f"{count} of {count} checks hold" in done.stdout
    assert report.read_text().count("| yes | yes |") >= count - 1


def test_a_kit_without_a_target_could_not_be_run(ourselves: Ourselves) -> None:
    run = [sys.executable, "-m", "backend", "his", "conformance", "--hospital", "KIT01", "--patient", "x"]
    assert subprocess.run(run, env=ourselves.environment, capture_output=True, check=False).returncode == 2


# ── systems that do wrong ──


def failed_mllp(take: Take, *only: str) -> set[str]:
    """Try a listener that takes messages in its own way, and give the names of the checks that fail."""

    async def run() -> set[str]:
        async with serve_mllp(take, "127.0.0.1", 0) as listener:
            results = await MLLP_KIT.run(MllpBench("127.0.0.1", listener.port, "KIT01", id_number(1)), only)
        return {one.name for one in results if not one.holds}

    return asyncio.run(run())


async def says_yes_to_everything(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
    yield acknowledge(header_of(raw, "utf-8"), "AA", control_id="1", now=datetime.now(UTC))


async def answers_another_message(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
    answer = acknowledge(header_of(raw, "utf-8"), "AA", control_id="1", now=datetime.now(UTC))
    head, _, rest = answer.partition(b"MSA|AA|")
    yield head + b"MSA|AA|OTHER" + rest[rest.index(b"\r") :]


async def never_answers(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
    if not raw:
        yield b""
    await asyncio.sleep(30)


def test_who_says_yes_to_everything_is_found_out() -> None:
    names = (
        "every_kind_of_message_is_acknowledged",
        "what_is_wrong_is_named_by_segment_and_field",
        "a_message_that_comes_twice_is_answered_twice_and_done_once",
        "a_wrong_encoding_is_refused",
        "the_enhanced_mode_answers_as_it_is_asked",
    )
    assert failed_mllp(says_yes_to_everything, *names) == set(names[1:])


def test_who_answers_another_message_is_found_out() -> None:
    name = "an_answer_names_the_message_that_it_answers"
    assert failed_mllp(answers_another_message, name) == {name}


def test_who_never_answers_is_given_up() -> None:
    name = "two_messages_in_one_packet_are_two"
    assert failed_mllp(never_answers, name) == {name}


class NotFhir(BaseHTTPRequestHandler):
    """Answers everything with some JSON."""

    def do_GET(self) -> None:
        body = b'{"resourceType": "Nonsense", "access_token": "x", "token_type": "bearer", "token_endpoint": "x"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.wfile.write(body)

    do_POST = do_PUT = do_GET  # noqa: N815  the names that http.server asks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_who_speaks_json_and_no_fhir_is_found_out() -> None:
    with HTTPServer(("127.0.0.1", 0), NotFhir) as server:
        serving = Thread(target=server.serve_forever, daemon=True)
        serving.start()
        bench = FhirBench(f"http://127.0.0.1:{server.server_port}/fhir", "KIT01", id_number(1), a_key())
        results = asyncio.run(FHIR_KIT.run(bench))
        server.shutdown()
        serving.join()
    assert {one.name for one in results if one.holds} == {"a_signed_assertion_gives_a_token"}

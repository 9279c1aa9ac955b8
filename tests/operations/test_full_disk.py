"""A city whose disk is full: writes get 503, reads are answered, and everything works again once there is room.

The system itself refuses to let the files of the running process grow (RLIMIT_FSIZE), as a full disk does.
"""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integrations.his.hl7v2.test_listener_process import Listener
from tests.integrations.his.hospital import Hl7System
from tests.servers import Process, chengma, city_environment, free_port, messages, wait_until

pytestmark = pytest.mark.slow

FULL = 1_000
"""No file may have more bytes than this."""


@contextmanager
def full_disk(process: Process) -> Iterator[None]:
    """Let no file of a running process grow until the end of the block."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
    yield
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Api:
    """A running server of a development city in one file."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.environment = city_environment(
            folder, f"sqlite:///{folder}/city.db", "", port=port, development="true", access_log="false"
        )
        self.process = chengma(folder, "serve", self.environment, "serve")
        self.log = folder / "serve.log"
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        wait_until(self._is_ready, self.process.log_text)

    def _is_ready(self) -> bool:
        try:
            return self.ready().status_code == 200
        except httpx.TransportError:
            return False

    def ready(self) -> httpx.Response:
        return self.client.get("/health/ready")

    def request_code(self, phone: str) -> httpx.Response:
        return self.client.post("/v1/sign-in-codes", json={"phone": phone})


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path)
    yield api
    api.client.close()
    api.process.stop()


def answers_with(answer: Callable[[], httpx.Response], status: int) -> Callable[[], bool]:
    return lambda: answer().status_code == status


def test_writes_get_503_and_the_server_is_not_ready_until_there_is_room(api: Api) -> None:
    with full_disk(api.process):
        for number in range(3):
            refused = api.request_code(f"1380013810{number}")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
            assert refused.json()["type"] == "/problems/unavailable"
            assert refused.headers["Content-Type"] == "application/problem+json"
        wait_until(answers_with(api.ready, 503))
        assert api.ready().json()["store"] == "cannot write"
        assert api.client.get("/health/live").status_code == 200
        assert api.client.get("/v1/school-plans").status_code == 200, "what only reads is answered"
    assert api.request_code("13800138103").status_code < 300, "a phone of its own: one has a code a minute"
    wait_until(answers_with(api.ready, 200))
    assert any("the store cannot write" in line for line in messages(api.log))


def test_the_refusal_is_told_in_both_languages_and_says_when_to_try_again(api: Api) -> None:
    with full_disk(api.process):
        texts = [
            api.client.post("/v1/sign-in-codes", json={"phone": phone}, headers={"Accept-Language": language}).json()[
                "detail"
            ]
            for phone, language in (("13800138101", "zh"), ("13800138102", "en"))
        ]
    assert texts == [
        "系统暂时无法保存数据，本次办理未成功，请30秒后再试。",
        "The city cannot save anything now, so nothing was done; please try again in 30 seconds.",
    ]


def test_a_command_fails_with_one_sentence(tmp_path: Path) -> None:
    environment = city_environment(tmp_path, f"sqlite:///{tmp_path}/city.db", "")

    def run() -> "subprocess.CompletedProcess[str]":
        limit: Callable[[], None] = lambda: resource.setrlimit(  # noqa: E731  called in the child
            resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY)
        )
        command = [sys.executable, "-m", "backend", "migrate"]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=limit
        )

    ended = run()
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"Error: {tmp_path}/city.db: ")
    assert "Traceback" not in ended.stderr


def test_a_hospital_keeps_its_message_until_there_is_room(tmp_path: Path) -> None:
    listener = Listener(tmp_path, f"sqlite:///{tmp_path}/city.db")
    system = Hl7System("HZ001", patient=listener.new_patient())
    opening = system.registration("V1")

    with full_disk(listener.process):
        assert listener.codes(opening) == ["AE"]
    assert listener.codes(opening) == ["AA"]
    assert "Traceback" not in listener.process.log_text()
    listener.process.stop()

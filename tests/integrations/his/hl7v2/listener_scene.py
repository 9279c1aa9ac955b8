"""A city with a listener process, which can be killed."""

import asyncio
import re
import subprocess
import sys
from itertools import count
from pathlib import Path

import hl7
from hl7.mllp import open_hl7_connection

from backend.services.medical_credit.model.visit import Visit
from tests.integrations.his.hospital import connect, enrol, in_city, visit_of
from tests.servers import Process, chengma, city_environment, wait_until
from tests.services.health_code.scene import id_number


class Listener:
    """A city with its own store and a running listener."""

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
        wait_until(lambda: len(self._ports()) > before, self.process.log_text, 30)
        self.port = int(self._ports()[-1])

    def _ports(self) -> list[str]:
        log = self.folder / "listen.log"
        return re.findall(r"listening for HL7 v2 on port (\d+)", log.read_text()) if log.exists() else []

    def command(self, *arguments: str) -> str:
        """Run a command of the city, and return its output."""
        run = [sys.executable, "-m", "backend", *arguments]
        done = subprocess.run(run, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def send(self, *messages: str, encoding: str = "utf-8") -> list[hl7.Message]:
        """Send messages one after the other with python-hl7's client, and return the replies."""

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
        return [str(answer.segment("MSA")[1]) for answer in self.send(*messages, encoding=encoding)]

    def visit(self, number: str, hospital: str = "HZ001") -> Visit:
        visit = visit_of(self.environment, number, hospital)
        assert visit is not None
        return visit

    def new_patient(self) -> str:
        number = id_number(next(self._people))
        in_city(self.environment, lambda city: enrol(city, number))
        return number

"""Send a folder of foreign samples to a running city, and say how each is answered: `make conformance FOLDER=...`.

Each folder in it is a set. HL7 v2 messages go to the listener over MLLP, unchanged but for control ids (MSH-10) that
occur twice; each sending facility (MSH-4) is connected first. FHIR resources are posted to the API. The table is
written to RESULTS.md, and every answer to a file.
"""

import asyncio
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from backend.city.service import City
from integrations.his.conformance.fhir_checks import BAD_REQUEST, CREATED, OK, FhirTester, HttpResponse
from integrations.his.hl7v2.message import Message, Part, Segment, parse_header, parse_message
from integrations.his.hl7v2.mllp_client import MllpClient
from tests.bench.report import RESULTS, machine, write_section
from tests.integrations.his.hospital import connect, in_city
from tests.servers import chengma, city_environment, free_port, listens, wait_until
from tests.soak import commit

HOSPITAL = "CONFORM"
EXAMPLES = 3
"""How many reasons a row of the table names."""
SEQUENCE_ERROR = "100"
"""The condition (HL7 table 0357) of a message whose segments cannot be read."""
APPLICATION_SECONDS = 0.5
"""How long the application's answer to an accepted message is awaited."""


class Answer(Struct, frozen=True):
    """How a sample is answered: its code (of MSA-1, or the HTTP status), and the reason unless it is accepted.

    `read` is false if its form was not understood.
    """

    sample: str
    code: str
    reason: str = ""
    read: bool = True


def messages_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Return each HL7 v2 message of the text files of a folder, with its name, as the file has it."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix.lower() in (".hl7", ".txt", ".er7", ".msg"):
            found = re.split(rb"(?m)^(?=MSH\W)", file.read_bytes().lstrip(b"\xef\xbb\xbf").replace(b"\r", b"\n"))[1:]
            for number, raw in enumerate(found, 1):
                name = str(file.relative_to(folder)) + (f" ({number})" if len(found) > 1 else "")
                yield name, raw.strip().replace(b"\n", b"\r") + b"\r"


def resources_in(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each FHIR resource of the JSON files of a folder, with its name."""
    for file in sorted(folder.rglob("*.json")):
        try:
            body = json.loads(file.read_bytes())
        except ValueError:
            continue
        if isinstance(body, dict) and "resourceType" in body:
            yield str(file.relative_to(folder)), cast("dict[str, Any]", body)


def with_own_ids(messages: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Return messages of which each has its own control id (MSH-10): samples of different days share one."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for name, raw in messages:
        header = parse_header(raw, "utf-8").header
        control = header.field(10).raw
        key = (header.field(3).raw, header.field(4).raw, control)
        seen[key] += 1
        again = f"|{control}-{seen[key]}|".encode()
        yield name, raw if seen[key] == 1 or not control else raw.replace(f"|{control}|".encode(), again, 1)


async def send_messages(port: int, messages: list[tuple[str, bytes]]) -> list[Answer]:
    """Send messages over one connection, which the listener must not end, and read each application answer."""
    answers: list[Answer] = []
    async with MllpClient("127.0.0.1", port) as client:
        for name, raw in messages:
            await client.send(raw)
            try:
                answer = await application_answer(client)
            except TimeoutError:
                asked = parse_header(raw, "utf-8").header.field(16).text not in ("NE", "ER")
                silence = Answer(name, "no answer", read=False) if asked else Answer(name, "none asked for")
                answers.append(silence)
                continue
            answers.append(read_acknowledgement(name, answer))
    return answers


async def application_answer(client: MllpClient) -> Message:
    """Return the answer to a message: of two, the application's, which a sender need not have asked for."""
    answer = parse_message(await client.receive(), "utf-8")
    if answer.segment("MSA").field(1).text == "CA":
        with suppress(TimeoutError):
            async with asyncio.timeout(APPLICATION_SECONDS):
                return parse_message(await client.receive(), "utf-8")
    return answer


def read_acknowledgement(sample: str, answer: Message) -> Answer:
    code = answer.segment("MSA").field(1).text
    errors = answer.all("ERR")
    if not errors:
        return Answer(sample, code)
    before_2_5 = errors[0].field(1).component(4).subcomponent(1).text
    condition = errors[0].field(3).component(1).text or before_2_5
    place = "-".join(filter(None, (part.text for part in located_at(errors[0]))))
    text = english(errors[0].field(8).text) or answer.segment("MSA").field(3).text
    return Answer(sample, code, in_general(f"{condition} {place}: {text}"), condition != SEQUENCE_ERROR)


def is_request(body: dict[str, Any]) -> bool:
    """Return whether a resource is a bundle of requests."""
    return body["resourceType"] == "Bundle" and body.get("type") in ("batch", "transaction")


async def send_resources(tester: FhirTester, resources: list[tuple[str, dict[str, Any]]]) -> list[Answer]:
    """Post each resource, bundles of requests to the base."""
    answers: list[Answer] = []
    for name, body in resources:
        path = "/" if is_request(body) else f"/{body['resourceType']}"
        answers.append(read_outcome(name, await tester.request("POST", path, body)))
    return answers


def read_outcome(sample: str, response: HttpResponse) -> Answer:
    reason = ""
    if response.status not in (OK, CREATED):
        issue = response.json["issue"][0]
        place = " ".join(issue.get("expression", []))
        reason = in_general(f"{place} {issue.get('diagnostics') or issue.get('details', {}).get('text', '')}")
    return Answer(sample, str(response.status), reason, response.status != BAD_REQUEST)


def located_at(error: Segment) -> tuple[Part, Part]:
    """Return the segment and the field that an ERR names, in the form since version 2.5 (ERR-2) or before (ERR-1)."""
    location = error.field(2) if error.field(2).text else error.field(1)
    return location.component(1), location.component(3)


def english(text: str) -> str:
    """Return a text without what stands before its first word of English, which says the same in Chinese."""
    *_, said = re.split(r"[\u3000-\uffef]+", text)
    return said.strip()


def in_general(reason: str) -> str:
    """Return a reason without what is of one sample only, so that equal reasons can be counted."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\b\d{4,}\b|\S*\|\S*", "…", reason).strip()


def table_of(sets: dict[str, list[Answer]]) -> str:
    """Return the table: per set how many samples there are, their codes, and the most frequent reasons."""
    lines = [
        "| set | samples | read | answers | reasons of those not accepted |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, answers in sets.items():
        codes = ", ".join(f"{code} {count}" for code, count in Counter(one.code for one in answers).most_common())
        reasons = Counter(one.reason for one in answers if one.reason).most_common()
        told = "; ".join(f"{count} x {reason}" for reason, count in reasons[:EXAMPLES])
        rest = sum(count for _, count in reasons[EXAMPLES:])
        read = sum(one.read for one in answers)
        others = f"; {rest} others" if rest else ""
        lines.append(f"| {name} | {len(answers)} | {read} | {codes} | {told.replace('|', '/')}{others} |")
    return "\n".join(lines)


def main(folder: Path) -> None:
    """Send every set of a folder; print and store the table."""
    sets: dict[str, list[Answer]] = {}
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    messages = {one.name: list(with_own_ids(messages_in(one))) for one in folders}
    with TemporaryDirectory() as temporary:
        home = Path(temporary)
        port = free_port()
        environment = city_environment(
            home, f"sqlite:///{home / 'city.db'}", "", mllp_port=0, port=port, development="true"
        )
        private = new_key()
        facilities = {facility_of(raw) for one in messages.values() for _, raw in one} - {""}
        listener = chengma(home, "listen", environment, "his", "listen")
        server = chengma(home, "serve", environment, "serve")
        try:
            wait_until(lambda: "listening for HL7 v2" in listener.log_text(), listener.log_text)
            wait_until(lambda: listens(port), server.log_text)

            async def register(city: City) -> None:
                await connect(city, HOSPITAL, jwks={"keys": [public_part(private)]})
                for facility in facilities:
                    await connect(city, facility)

            in_city(environment, register)
            (mllp_port,) = re.findall(r"listening for HL7 v2 on port (\d+)", listener.log_text())
            tester = FhirTester(f"http://127.0.0.1:{port}/fhir", HOSPITAL, "", private)
            for one in folders:
                if messages[one.name]:
                    sets[f"{one.name}, HL7 v2"] = asyncio.run(send_messages(int(mllp_port), messages[one.name]))
                by_type: dict[bool, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
                for name, body in resources_in(one):
                    by_type[body["resourceType"] in RECEIVED or is_request(body)].append((name, body))
                for received, resources in by_type.items():
                    kind = "types that are received" if received else "other types"
                    sets[f"{one.name}, FHIR R4, {kind}"] = asyncio.run(send_resources(tester, resources))
        finally:
            server.stop()
            listener.stop()
    table = table_of(sets)
    print(table)  # noqa: T201  the result
    answers = [f"{name}\t{one.sample}\t{one.code}\t{one.reason}" for name, all_ in sets.items() for one in all_]
    details = folder / "answers.tsv"
    details.write_text("\n".join(answers) + "\n")
    print(f"\nEach answer: {details}")  # noqa: T201  likewise
    head = f"Made by `make conformance FOLDER=...` on {datetime.now(UTC):%Y-%m-%d} at {commit()}: {machine()}.\n"
    write_section(RESULTS, "Foreign samples", f"{head}\n{table}")


RECEIVED = ("Encounter", "Account", "ChargeItem", "PaymentNotice", "CoverageEligibilityRequest")


def facility_of(raw: bytes) -> str:
    """Return MSH-4 of a message."""
    return parse_header(raw, "utf-8").header.field(4).component(1).text


def new_key() -> dict[str, Any]:
    """Return a new private key as a JWK."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = json.loads(jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA384).to_jwk(key))
    return {**private, "kid": "conformance", "alg": "ES384"}


def public_part(private: dict[str, Any]) -> dict[str, Any]:
    """Return the public key of a private JWK."""
    return {name: value for name, value in private.items() if name != "d"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))

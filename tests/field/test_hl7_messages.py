"""HL7 v2 messages that hospitals were refused for elsewhere, as the listener of a city receives them."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from integrations.his.hl7v2.batch import split_batch
from tests.integrations.his.hl7v2.receiving_city import ReceivingCity
from tests.integrations.his.hospital import WANG, Hl7System

FIELD = Path(__file__).parent
_controls = count(1)


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingCity]:
    city = ReceivingCity(tmp_path_factory.mktemp("field"))
    yield city
    city.close()


def answers(receiving: ReceivingCity, name: str) -> list[str]:
    """Send the messages of an input about a new visit, whose number is `name`, and return the codes of the answers."""
    [file] = FIELD.glob(f"{name}-*.hl7")
    text = file.read_bytes().decode()
    for mark, value in (("@VISIT@", name), ("@ID@", WANG), ("@NOW@", "20260302120000")):
        text = text.replace(mark, value)
    while "@CTL@" in text:
        text = text.replace("@CTL@", f"F{name}-{next(_controls)}", 1)
    assert receiving.code(Hl7System().registration(name)) == "AA"
    replies = [reply for message in text.split("\x1e") for reply in receiving.receive(message)]
    return [reply.decode().split("MSA|")[1][:2] for one in replies for reply in split_batch(one) if b"MSA|" in reply]


def test_20_a_unit_price_of_four_places_explains_the_amount(receiving: ReceivingCity) -> None:
    assert answers(receiving, "20") == ["AA"]
    assert receiving.lines("20") == [("L1", 98)]


def test_23_a_free_line_does_not_refuse_the_lines_beside_it(receiving: ReceivingCity) -> None:
    assert answers(receiving, "23") == ["AA"]
    assert receiving.lines("23") == [("L1", 1_000), ("L2", 0), ("L3", 1_000)]
    assert receiving.visit("23").total_fen() == 2_000


def test_24_a_credit_may_have_a_negative_quantity(receiving: ReceivingCity) -> None:
    assert answers(receiving, "24") == ["AA", "AA"]
    assert receiving.visit("24").total_fen() == 0


def test_29_a_byte_order_mark_is_no_part_of_a_message(receiving: ReceivingCity) -> None:
    assert answers(receiving, "29") == ["AA"]


def test_32_each_message_of_a_batch_is_acknowledged(receiving: ReceivingCity) -> None:
    assert answers(receiving, "32") == ["AA", "AA"]
    assert receiving.lines("32") == [("G1", 1_000), ("G2", 1_000)]

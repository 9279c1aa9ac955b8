"""A state machine of a hospital whose messages have errors, come twice, early or corrected, while processes die."""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from backend.services.medical_credit.model.hospital import HisMessage, message_id
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.saga import visit_saga
from backend.store import Document, StoreUnavailable
from integrations.his.hl7v2.message import parse_message
from tests.integrations.his.hl7v2.receiver_scene import Receiver, acknowledgement
from tests.integrations.his.hospital import Hl7System, transaction
from tests.services.killing import Killed
from tests.services.medical_credit.scene import NOON

PLACES: list[tuple[str, type[Document]]] = [
    ("get", HisMessage),
    ("insert", HisMessage),
    ("replace", HisMessage),
    ("get", Visit),
    ("insert", Visit),
    ("replace", Visit),
]
LINE_IDS, VISITS = st.integers(0, 4), st.integers(0, 1)
LINES = st.builds(
    transaction,
    LINE_IDS.map("L{}".format),
    st.sampled_from(["1.00", "2.50", "40.00"]),
)
CREDITS = st.builds(
    transaction,
    LINE_IDS.map("C{}".format),
    st.sampled_from(["1.00", "2.50", "-1.00"]),
    st.sampled_from(["CD", "AJ"]),
    of=LINE_IDS.map("L{}".format),
)
PAYMENTS = st.builds(transaction, LINE_IDS.map("P{}".format), st.sampled_from(["1.00", "3.00"]), st.just("PY"))
FAULTS = st.sampled_from(
    [
        transaction("X1", "1.005"),
        transaction("X2", "1.00").replace("20261124093000+0800", "00010101000000"),
        transaction("X3", "1.00", code=""),
    ]
)
TRANSACTIONS = st.lists(LINES | LINES | LINES | CREDITS | PAYMENTS | FAULTS, min_size=1, max_size=4)
TRIGGERS = st.sampled_from(["ADT^A03", "ADT^A13", "ADT^A08", "BAR^P01", "BAR^P06", "ADT^A11"])
TROUBLES = st.none() | st.none() | st.integers(0, 3) | st.sampled_from(PLACES)
"""Nothing; the process is killed at one of the next writes; or the store does not answer at one place."""


class MessageMachine(RuleBasedStateMachine):
    """Whatever happens, the bill is that of the accepted messages alone."""

    receiver: ClassVar[Receiver]
    counts: ClassVar[Counter[str]] = Counter()

    @initialize()
    def hospital(self) -> None:
        receiver = self.receiver
        receiver.clock.now = NOON
        self._end_trouble()
        example = next(receiver.serial)
        self.system, self.other = Hl7System(patient=receiver.new_patient()), receiver.new_patient()
        self.visits = [f"V{example}-{number}" for number in range(2)]
        self.sent: list[tuple[str, str]] = []
        self.accepted: list[tuple[str, str]] = []
        self.final_answers: dict[str, list[bytes]] = {}
        self._sends(0, self.system.registration(self.visits[0]), None)

    # ── messages ──

    @rule(visit=VISITS, other=st.integers(0, 5), trouble=TROUBLES)
    def opens(self, visit: int, other: int, trouble: object) -> None:
        patient = self.other if other == 0 else self.system.patient
        self._sends(visit, self.system.registration(self.visits[visit], patient=patient), trouble)

    @rule(visit=VISITS, transactions=TRANSACTIONS, trouble=TROUBLES)
    def charges(self, visit: int, transactions: list[str], trouble: object) -> None:
        self._sends(visit, self.system.charge_message(self.visits[visit], *transactions), trouble)

    @rule(visit=VISITS, trigger=TRIGGERS, other=st.integers(0, 5), trouble=TROUBLES)
    def tells(self, visit: int, trigger: str, other: int, trouble: object) -> None:
        patient = self.other if other == 0 else self.system.patient
        self._sends(visit, self.system.visit_message(trigger, self.visits[visit], patient=patient), trouble)

    @precondition(lambda self: self.sent)
    @rule(place=st.integers(0, 50), trouble=TROUBLES)
    def repeats(self, place: int, trouble: object) -> None:
        number, message = self.sent[place % len(self.sent)]
        self._sends(self.visits.index(number), message, trouble)

    @rule(minutes=st.sampled_from([1, 10, 60 * 24 * 2]))
    def sweeps_run(self, minutes: int) -> None:
        self.receiver.clock.now += timedelta(minutes=minutes)
        self._sweep()

    # ── a client that sends until it is answered ──

    def _sends(self, visit: int, message: str, trouble: object) -> None:
        if (self.visits[visit], message) not in self.sent:
            self.sent.append((self.visits[visit], message))
        before = self.receiver.lines(self.visits[visit])
        self.receiver.clock.now += timedelta(milliseconds=1)  # early messages are processed in the order of arrival
        self._begin_trouble(trouble)
        replies: list[bytes] = []
        for _ in range(3):
            with suppress(Killed):
                replies = self.receiver.replies(message)
            self._end_trouble()
            if replies and not _is_unavailable(replies):
                break
        (reply,) = replies
        answer = parse_message(reply, "utf-8")
        assert answer.segment("MSA").field(2).text == _control_id(message)
        self._check_answer(visit, message, replies, before)
        self._note_accepted(message)

    def _check_answer(self, visit: int, message: str, replies: list[bytes], before: dict[str, int]) -> None:
        code = acknowledgement(parse_message(replies[0], "utf-8"))
        stored = self._stored(message)
        assert stored is not None, "every answered message with a right header is kept"
        waits = b"|W|" in replies[0]
        self.counts[f"{code} {'W' if waits else ''}".strip()] += 1
        if code == "AA":
            assert stored.state == "done" or waits, stored
            assert self.final_answers.setdefault(message, replies) == replies, "repeats get the same answer"
        else:
            assert stored.state == "failed", stored
            assert stored.reason
            assert self.receiver.lines(self.visits[visit]) == before, "a refused message changes nothing"

    def _begin_trouble(self, trouble: object) -> None:
        store = self.receiver.store
        if isinstance(trouble, int):
            store.countdown, store.after = trouble // 2, trouble % 2 == 1
        elif isinstance(trouble, tuple):
            store.failures = {trouble: StoreUnavailable("the store does not answer")}
            self.counts["unavailable"] += 1

    def _end_trouble(self) -> None:
        self.receiver.store.countdown, self.receiver.store.failures = None, {}

    def _sweep(self) -> None:
        """Retry the messages that are due, as the background task does."""
        for _, message in self.sent:
            stored = self._stored(message)
            now_ms = self.receiver.clock.now.timestamp() * 1_000
            if stored is not None and stored.due_ms is not None and stored.due_ms <= now_ms:
                self.receiver.retry(stored.id)
                self._note_accepted(message)

    def _stored(self, message: str) -> HisMessage | None:
        key = message_id("HZ001", "HIS", _control_id(message))
        return self.receiver.run(lambda: self.receiver.city.store.get(HisMessage, key))

    def _note_accepted(self, first: str) -> None:
        """Add the messages that were done in the last step to those that are accepted, in the order of processing."""
        for number, message in sorted(self.sent, key=lambda one: one[1] != first):
            if (number, message) not in self.accepted:
                stored = self._stored(message)
                if stored is not None and stored.state == "done":
                    self.accepted.append((number, message))

    # ── the bill ──

    def teardown(self) -> None:
        if not hasattr(self, "sent"):
            return
        self._end_trouble()
        self.receiver.clock.now += timedelta(days=1)
        self._sweep()
        for number in self.visits:
            self._is_billed_for_the_accepted_messages_alone(number)

    def _is_billed_for_the_accepted_messages_alone(self, number: str) -> None:
        """Compare a visit with that of another hospital that sent the accepted messages only, without any trouble."""
        for visit, message in self.accepted:
            if visit == number:
                assert self.receiver.code(message.replace("|HZ001|", "|HZ002|")) == "AA", message
        visit, alone = self.receiver.visit(number), self.receiver.visit(number, "HZ002")
        if visit is None or alone is None:
            assert visit is alone is None
            return
        assert sorted(visit.lines, key=str) == sorted(alone.lines, key=str)
        assert sorted(visit.counter_payments, key=str) == sorted(alone.counter_payments, key=str)
        assert (visit.cancelled_at is None, visit.closed_at) == (alone.cancelled_at is None, alone.closed_at)
        assert all(visit.net_fen(line.id) >= 0 for line in visit.lines if line.of is None)
        if visit.cancelled_at is None and visit.total_fen() > 0:
            assert self._billed_fen(number) == alone.total_fen()

    def _billed_fen(self, number: str) -> int:
        """Return the total of the bill, which is issued now."""
        receiver = self.receiver
        assert receiver.code(self.system.visit_message("BAR^P06", number)) == "AA"
        for _ in range(20):
            receiver.clock.now += timedelta(minutes=1)
            receiver.run(lambda: visit_saga.resume(receiver.city, visit_id("HZ001", number)))
            visit = receiver.visit(number)
            if visit is not None and visit.settlement is not None and visit.bill is not None:
                return visit.settlement.split.medfee_fen
        raise AssertionError(receiver.visit(number))


def _control_id(message: str) -> str:
    return message.split("|", 10)[9]


def _is_unavailable(replies: list[bytes]) -> bool:
    return any(b"MSA|AE|" in reply and b"|207^" in reply for reply in replies)

"""A class is granted, shown, upgraded, reviewed, renewed, extended and withdrawn, and lapses; each with its notices."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

from backend.city.upstream import Notifications, UpstreamTimeout
from backend.i18n import Text
from backend.services.talent_code.facts import Pay, Post, Prize
from backend.services.talent_code.model.notifications import talent_message
from backend.services.talent_code.model.talent import Talent, TalentNotification, TalentNotificationKind
from backend.services.talent_code.ports import Education, SocialInsurance
from tests.accounts import move_person
from tests.conftest import id_number_for
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.scene import (
    DOCTOR,
    LEADER,
    MASTER,
    PAID_WELL,
    PROVINCIAL_LEADER,
    STATE_SECOND,
    TECHNICIAN,
    Citizen,
    Scene,
)

GRANTED = "2026-03-02T04:00:00Z"
REVIEW, EXTENSION_WINDOW, END = "2029-01-30T04:00:00Z", "2029-02-28T04:00:00Z", "2029-03-01T04:00:00Z"
"""A class of 2 March 2026 ends after 1,095 days; it is reviewed 30 days and a day before its end."""

SentNotices = Callable[[], list[str]]


def advance_to(scene: Scene, instant: str, *, less_seconds: float = 0) -> None:
    """Advance the clock to an instant, or to shortly before it, and sweep."""
    scene.time_passes(seconds=(datetime.fromisoformat(instant) - scene.clock.now).total_seconds() - less_seconds)


def talent_class(scene: Scene, person: Citizen) -> str:
    return scene.shown(person)["talent_class"]


def past(scene: Scene, person: Citizen) -> list[tuple[str, str, str]]:
    """Return the class, the way and the time of each ended grant, newest first."""
    return [(one["talent_class"], one["end"], one["ended_at"]) for one in scene.shown(person)["previous_grants"]]


# ── granted and shown ──


def test_a_class_is_granted_with_its_rule_and_reason_for_three_years(scene: Scene, sent_notices: SentNotices) -> None:
    person = scene.talent(DOCTOR)
    shown = scene.shown(person)
    assert (shown["talent_class"], shown["class_if_confirmed"], shown["previous_grants"]) == ("e", "e", [])
    assert shown["grant"] == {
        "talent_class": "e",
        "rule": "degree-doctor",
        "because": {"zh": "您具有全日制博士学位", "en": "You have a full-time doctor's degree"},
        "granted_at": GRANTED,
        "until": END,
        "ended_at": None,
        "end": None,
        "rulebook": scene.city.rulebook.digest,
    }
    assert shown["review_at"] == REVIEW
    assert sent_notices() == ["granted"]


def test_a_person_sees_what_is_missing_for_the_next_class(scene: Scene) -> None:
    person = scene.citizen()
    scene.has(person, LEADER, PROVINCIAL_LEADER)
    shown = scene.shown(person)
    assert (shown["talent_class"], shown["grant"], shown["review_at"]) == ("none", None, None)
    assert (shown["class_if_confirmed"], shown["next_class"]) == ("none", "e")
    ways = {way["rule"]: way for way in shown["next_class_options"]}
    assert "degree-master" not in ways, "the catalogue of 2019 does not include it"
    assert ways["degree-doctor"]["remedy"]["en"] == (
        "If you have a full-time doctor's degree, declare it under My declarations in your talent code; "
        "it takes effect once confirmed"
    )
    scene.port(Education).database.script_outcomes("confirm_merit", "fine", "pending")
    scene.declares(person, LEADER)
    shown = scene.declares(person, PROVINCIAL_LEADER).json()
    assert (shown["talent_class"], shown["class_if_confirmed"], shown["next_class"]) == ("d", "c", "c")
    assert {way["rule"][:4] for way in shown["next_class_options"]} == {"titl", "priz", "post", "pay-"}
    assert "title-provincial-leader" in {way["rule"] for way in shown["next_class_options"]}


def test_no_class_is_above_class_a(scene: Scene) -> None:
    shown = scene.shown(scene.talent(Prize("turing", datetime.fromisoformat("2024-06-01T00:00:00Z"))))
    assert (shown["talent_class"], shown["next_class"], shown["next_class_options"]) == ("a", None, [])


def test_later_months_of_insurance_give_a_class_without_a_new_declaration(scene: Scene) -> None:
    person = scene.citizen(months=11)
    scene.has(person, TECHNICIAN)
    assert scene.declares(person, TECHNICIAN).json()["talent_class"] == "none"
    scene.port(SocialInsurance).set_months(person.id_number, 12)
    assert talent_class(scene, person) == "none", "the insurance's answer is valid for 30 days"
    advance_to(scene, "2026-04-01T04:00:00Z")
    assert talent_class(scene, person) == "e"


# ── upgraded ──


def test_a_higher_class_replaces_a_lower_one_at_once(scene: Scene, sent_notices: SentNotices) -> None:
    person = scene.talent(DOCTOR)
    scene.has(person, DOCTOR, STATE_SECOND)
    advance_to(scene, "2026-05-01T00:00:00Z")
    shown = scene.declares(person, STATE_SECOND).json()
    assert (shown["grant"]["talent_class"], shown["grant"]["rule"]) == ("c", "prize-state-second")
    assert (shown["grant"]["granted_at"], shown["grant"]["until"]) == ("2026-05-01T00:00:00Z", "2029-04-30T00:00:00Z")
    assert past(scene, person) == [("e", "upgraded", "2026-05-01T00:00:00Z")]
    assert sent_notices() == ["granted", "upgraded"]


def test_evidence_for_a_lower_class_changes_nothing(scene: Scene, sent_notices: SentNotices) -> None:
    person = scene.talent(STATE_SECOND)
    scene.has(person, DOCTOR, STATE_SECOND)
    before = scene.shown(person)["grant"]
    assert scene.declares(person, DOCTOR).json()["grant"] == before
    assert sent_notices() == ["granted"]


# ── reviewed ──


def test_a_class_is_reviewed_thirty_days_before_its_end_and_renewed(scene: Scene, sent_notices: SentNotices) -> None:
    person = scene.talent(DOCTOR)
    advance_to(scene, REVIEW, less_seconds=0.001)
    assert scene.shown(person)["evidence"][0]["answered_at"] == GRANTED
    advance_to(scene, REVIEW)
    shown = scene.shown(person)
    assert shown["evidence"][0]["answered_at"] == REVIEW
    assert (shown["grant"]["granted_at"], shown["grant"]["until"]) == (REVIEW, "2032-01-30T04:00:00Z")
    assert past(scene, person) == [("e", "renewed", REVIEW)]
    assert sent_notices() == ["granted", "renewed"]


def test_a_class_that_its_evidence_no_longer_gives_lapses_only_at_its_end(
    scene: Scene, sent_notices: SentNotices
) -> None:
    """Pay is valid for a year and a half after its year; a class that was granted for it lasts three years."""
    person = scene.citizen()
    scene.earns(person, 90_000_000, 0)
    assert scene.declares(person, PAID_WELL).json()["grant"]["rule"] == "pay-d"
    for moment, due_next in ((REVIEW, EXTENSION_WINDOW), (EXTENSION_WINDOW, END)):
        advance_to(scene, moment)
        assert (talent_class(scene, person), sent_notices()) == ("d", ["granted"])
        [talent] = stored(scene.client, Talent)
        assert talent.due_ms == datetime.fromisoformat(due_next).timestamp() * 1_000, "the review does not delay others"
    advance_to(scene, END, less_seconds=0.001)
    assert talent_class(scene, person) == "d"
    advance_to(scene, END)
    assert (talent_class(scene, person), past(scene, person)) == ("none", [("d", "lapsed", END)])
    assert sent_notices() == ["granted", "lapsed"]
    advance_to(scene, "2029-06-01T00:00:00Z")
    assert sent_notices() == ["granted", "lapsed"]


def test_when_a_class_lapses_other_evidence_gives_a_lower_one(scene: Scene, sent_notices: SentNotices) -> None:
    person = scene.talent(DOCTOR)
    scene.earns(person, 90_000_000, 0)
    scene.declares(person, PAID_WELL)
    for moment in (REVIEW, END):
        advance_to(scene, moment)
    assert (talent_class(scene, person), scene.shown(person)["grant"]["granted_at"]) == ("e", END)
    assert past(scene, person) == [("d", "lapsed", END), ("e", "upgraded", GRANTED)]
    assert sent_notices() == ["granted", "upgraded", "lapsed", "granted"]


def test_a_class_is_extended_while_a_registry_has_not_answered_at_its_end(
    scene: Scene, sent_notices: SentNotices
) -> None:
    person = scene.talent(DOCTOR)
    scene.port(Education).database.inject_faults("confirm_degree", {"lost_before": 1_000})
    for moment in (REVIEW, EXTENSION_WINDOW, END):
        advance_to(scene, moment)
    shown = scene.shown(person)
    assert (shown["talent_class"], shown["grant"]["granted_at"], shown["evidence"][0]["state"]) == (
        "e",
        GRANTED,
        "confirmed",
    )
    assert (shown["grant"]["until"], sent_notices()) == ("2029-03-31T04:00:00Z", ["granted"])
    scene.port(Education).database.clear_faults()
    advance_to(scene, "2029-03-01T10:00:00Z")
    assert past(scene, person) == [("e", "renewed", "2029-03-01T10:00:00Z")]
    assert sent_notices() == ["granted", "renewed"]


# ── withdrawn ──


def test_a_class_is_withdrawn_at_once_when_a_review_refutes_its_evidence(
    scene: Scene, sent_notices: SentNotices
) -> None:
    person = scene.talent(DOCTOR)
    scene.has(person)
    advance_to(scene, "2026-05-01T00:00:00Z")
    assert talent_class(scene, person) == "e"
    scene.reviewed(person)
    assert (talent_class(scene, person), past(scene, person)) == ("none", [("e", "withdrawn", "2026-05-01T00:00:00Z")])
    assert sent_notices() == ["granted", "refuted", "withdrawn"]
    problem(scene.client.get("/v1/me/talent-code", headers=person), 409, "no-talent-class")
    problem(scene.client.get("/v1/me/talent-code/image.png", headers=person), 409, "no-talent-class")
    problem(scene.client.get("/v1/me/talent-code/image.svg", headers=person), 409, "no-talent-class")


def test_a_withdrawn_class_is_replaced_at_once_by_a_lower_one_from_other_evidence(
    scene: Scene, sent_notices: SentNotices
) -> None:
    person = scene.talent(DOCTOR)
    scene.has(person, DOCTOR, LEADER)
    scene.declares(person, LEADER)
    scene.has(person, DOCTOR)
    advance_to(scene, "2026-05-01T00:00:00Z")
    scene.reviewed(person)
    assert scene.shown(person)["grant"]["granted_at"] == "2026-05-01T00:00:00Z"
    assert (talent_class(scene, person), past(scene, person)[0]) == ("e", ("d", "withdrawn", "2026-05-01T00:00:00Z"))
    assert sent_notices() == ["granted", "upgraded", "refuted", "withdrawn", "granted"]


def test_a_post_that_ended_after_the_grant_does_not_end_the_class_early(
    scene: Scene, sent_notices: SentNotices
) -> None:
    """The post was held on the day of the grant; the registry only denies that it is still held."""
    person = scene.talent(Post("key_firm_head", datetime.fromisoformat("2023-12-31T16:00:00Z")))
    advance_to(scene, "2026-09-01T00:00:00Z")
    scene.has(person)
    scene.reviewed(person)
    (post,) = scene.shown(person)["evidence"]
    assert (post["state"], post["qualification"]["until"]) == ("confirmed", "2026-09-01T00:00:00Z")
    assert (talent_class(scene, person), sent_notices()) == ("d", ["granted"])
    for moment in (REVIEW, END):
        advance_to(scene, moment)
    assert (talent_class(scene, person), past(scene, person)) == ("none", [("d", "lapsed", END)])


def test_a_review_without_findings_or_answers_changes_nothing(scene: Scene, sent_notices: SentNotices) -> None:
    person = scene.talent(DOCTOR)
    before = scene.shown(person)["grant"]
    advance_to(scene, "2026-05-01T00:00:00Z")
    for outcome in ("fine", "lost_before", "pending", "refused", "wrong"):
        scene.port(Education).database.script_outcomes("confirm_degree", outcome)
        scene.reviewed(person)
        assert (scene.shown(person)["grant"], scene.shown(person)["evidence"][0]["state"]) == (before, "confirmed")
        scene.time_passes(hours=1)
    assert sent_notices() == ["granted"]


def test_an_officer_orders_no_review_of_themselves_from_any_account(scene: Scene) -> None:
    person, officer = scene.talent(DOCTOR), scene.officer()
    scene.call(move_person, scene.city, person.id, "13800000901")
    order = {"id_number": person.id_number}
    problem(scene.client.post("/v1/talent-reviews", json=order, headers=officer), 409, "conflict-of-interest")


def test_only_officers_order_reviews_and_the_answer_reveals_nothing(scene: Scene) -> None:
    person = scene.talent(DOCTOR)
    nobody_yet = scene.citizen("13800000102")
    known = [stored(scene.client, Talent)[0].id]

    def order(number: str, caller: Any) -> Any:  # noqa: ANN401  headers of anyone, and the client's response
        return scene.client.post("/v1/talent-reviews", json={"id_number": number}, headers=caller)

    numbers = (person.id_number, nobody_yet.id_number, id_number_for("13800000199"))
    answers = [order(number, scene.officer()) for number in numbers]
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    assert [talent.id for talent in stored(scene.client, Talent)] == known
    problem(order("110105194912310020", scene.officer()), 400, "invalid-id-number")
    for caller in (person, scene.partner("park-xixi")):
        problem(order(person.id_number, caller), 403, "not-allowed")


# ── the catalogue changes ──


def test_a_new_catalogue_does_not_end_classes_granted_under_the_old_one(
    scene: Scene, sent_notices: SentNotices
) -> None:
    """A master's degree gave class E in the catalogue of 2018, but not in that of 2019."""
    scene.clock.now = datetime.fromisoformat("2018-12-31T15:59:59Z")
    first = scene.talent(MASTER)
    advance_to(scene, "2018-12-31T16:00:00Z")
    second = scene.citizen("13800000102")
    scene.has(second, MASTER)
    answer = scene.declares(second, MASTER).json()
    assert (answer["evidence"][0]["state"], answer["talent_class"]) == ("confirmed", "none")
    advance_to(scene, "2020-06-01T00:00:00Z")
    scene.reviewed(first, second)
    assert (talent_class(scene, first), scene.shown(first)["grant"]["rule"]) == ("e", "degree-master")
    assert sent_notices() == ["granted"]
    for moment in ("2021-11-30T15:59:59Z", "2021-12-30T15:59:59Z"):
        advance_to(scene, moment)
    assert past(scene, first) == [("e", "lapsed", "2021-12-30T15:59:59Z")]


def test_the_same_pay_gives_another_class_in_another_catalogue(scene: Scene) -> None:
    """Class D required 500,000 yuan in 2018 and requires 800,000 in 2019; class E requires 400,000."""
    classes: list[str] = []
    for phone, moment in (("13800000101", "2018-12-31T15:59:59Z"), ("13800000102", "2018-12-31T16:00:00Z")):
        scene.clock.now = datetime.fromisoformat(moment).astimezone(UTC)
        person = scene.citizen(phone)
        scene.earns(person, 50_000_000, 0, 2017)
        classes.append(scene.declares(person, Pay(2017, 50_000_000)).json()["talent_class"])
    assert classes == ["d", "e"]


# ── notices ──


class UnreliableNotifications:
    """Does not answer while `silent`, then records the delivered texts."""

    def __init__(self) -> None:
        self.silent, self.attempts = True, 0
        self.delivered: list[str] = []

    async def notify(self, _notice: str, _recipient: str, text: Text) -> None:
        self.attempts += 1
        if self.silent:
            raise UpstreamTimeout("no answer")
        self.delivered.append(text.zh)


def test_a_notice_that_could_not_be_sent_is_retried_with_growing_pauses(scene: Scene) -> None:
    notices = UnreliableNotifications()
    assert isinstance(scene.city.ports, dict)
    scene.city.ports[Notifications] = notices
    doctor = scene.citizen()
    scene.has(doctor, DOCTOR)
    scene.declares(doctor, DOCTOR)
    scene.call(scene.wait_for_jobs)  # the first attempt must have ended before the clock moves
    for pause in (10, 20, 40):
        attempts = notices.attempts
        scene.time_passes(seconds=pause - 0.001)
        assert notices.attempts == attempts
        scene.time_passes(seconds=0.001)
        assert notices.attempts == attempts + 1
    notices.silent = False
    for _ in range(3):
        scene.time_passes(hours=1)
    assert notices.delivered == ["您已获认定为E类人才。"]


def test_every_notice_has_a_text_that_fits_on_a_lock_screen() -> None:
    at = datetime.fromisoformat(GRANTED)
    for kind in get_args(TalentNotificationKind):
        notification, talent = (
            TalentNotification(kind, at, "d"),
            Talent(id="p", code_id="c", born_at=at, account_ending="1234", payable_from=at),
        )
        words = talent_message(notification, talent, 30, ZoneInfo("Asia/Shanghai"))
        names_no_class = kind in ("refuted", "unconfirmed", "card_named", "card_changed")
        assert ("D" in words.zh) == (" D" in words.en) == (not names_no_class)
        assert "{" not in words.zh + words.en
        assert max(len(words.zh) * 2, len(words.en)) <= 110

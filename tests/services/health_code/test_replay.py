"""A draft is tried on the colours that were really decided, with what was known then."""

from collections.abc import Sequence
from datetime import UTC, datetime

from backend.city.replay import Cell, ModuleReplay, ReplayReport, replay
from backend.rulebook import Rulebook
from backend.services.health_code.model import HealthRecord
from tests.conftest import SignIn
from tests.services.drafts import draft_of
from tests.services.health_code.scene import Client, Scene, id_number, stored

SINCE = datetime(2022, 1, 1, tzinfo=UTC)
FOURTEEN_DAYS, ONE_DAY = (
    "label: {zh: 隔离时间, en: Isolation}\n    unit: days\n    values:\n      - {from: 2020-02-11, value: 14d",
    "label: {zh: 隔离时间, en: Isolation}\n    unit: days\n    values:\n      - {from: 2020-02-11, value: 1d",
)


def shorter() -> Rulebook:
    """Return a draft in which contacts isolate for one day, and have been monitored for seven by then."""
    return draft_of("health_code.colour", FOURTEEN_DAYS, ONE_DAY)


def replayed(client: Client, draft: Rulebook, **options: int) -> ReplayReport:
    return client.blocking_portal.call(lambda: replay(client.app.state.city, draft, SINCE, **options))


def colours(report: ReplayReport) -> ModuleReplay:
    (module,) = [one for one in report.modules if one.module == "health_code.colour"]
    return module


def cells(found: Sequence[Cell]) -> set[tuple[str, str, int]]:
    return {(cell.decided, cell.draft, cell.count) for cell in found}


def test_decisions_are_made_again_with_what_was_known_then(client: Client, scene: Scene, sign_in: SignIn) -> None:
    wang = sign_in("13800138000", name="王芳", id_number=id_number(1))
    assert scene.colour(wang) == "green"
    scene.set_clock("2022-04-20T12:10:00+08:00")
    scene.report(scene.event("contact", level="close", at=scene.ago(days=2)))
    before = stored(client, HealthRecord)
    found = colours(replayed(client, shorter()))
    assert (found.replayed, found.changed, found.not_replayed) == (2, 1, {})
    (changed,) = [cell for cell in found.results if cell.decided == "red"]
    assert (changed.draft, changed.count) != ("red", 1)
    assert ("green", "green", 1) in cells(found.results), "the contact was not known then"
    assert found.rules[0].decided == "close-contact"
    (sample,) = found.samples
    assert sample.decided_because.en == "You are a close contact of a confirmed case"
    assert before[0].id not in sample.id
    assert stored(client, HealthRecord) == before, "nothing is written"


def test_the_same_rules_decide_the_same_again(client: Client, scene: Scene, sign_in: SignIn) -> None:
    wang = sign_in("13800138000", name="王芳", id_number=id_number(1))
    scene.code(wang)
    scene.set_clock("2022-04-20T12:10:00+08:00")
    scene.report(scene.event("contact", level="close", at=scene.ago(days=2)))
    report = replayed(client, client.app.state.city.rulebook)
    assert [(one.changed, one.not_replayed) for one in report.modules] == [(0, {})]
    assert "medical_credit.limit" in report.without_decisions


def test_a_decision_whose_report_was_withdrawn_is_counted_and_not_guessed(
    client: Client, scene: Scene, sign_in: SignIn
) -> None:
    wang = sign_in("13800138000", name="王芳", id_number=id_number(1))
    scene.code(wang)
    scene.set_clock("2022-04-20T12:05:00+08:00")
    scene.report(scene.event("contact", "wrong", level="close", at=scene.ago(days=2)))
    scene.set_clock("2022-04-20T12:10:00+08:00")
    scene.report(scene.event("withdrawal", of="wrong"))
    found = colours(replayed(client, shorter()))
    assert found.not_replayed == {"facts_changed": 1}
    assert (found.replayed, found.changed) == (2, 0)


def test_a_limited_replay_says_that_there_is_more(client: Client, scene: Scene, sign_in: SignIn) -> None:
    scene.code(sign_in("13800138000", name="王芳", id_number=id_number(1)))
    scene.set_clock("2022-04-20T12:10:00+08:00")
    scene.report(scene.event("contact", level="close", at=scene.ago(days=2)))
    report = replayed(client, shorter(), max_decisions=1)
    assert (report.examined, report.complete) == (1, False)

"""A draft is tried on the classes and claims that were really decided."""

from datetime import UTC, datetime

from backend.city.replay import ReplayReport, replay
from backend.rulebook import Rulebook
from tests.services.drafts import draft_of
from tests.services.talent_code.scene import DOCTOR, Scene

SINCE = datetime(2020, 1, 1, tzinfo=UTC)


def replayed(scene: Scene, draft: Rulebook) -> ReplayReport:
    return scene.client.blocking_portal.call(lambda: replay(scene.city, draft, SINCE))


def test_claims_are_decided_again_on_the_facts_that_they_keep(scene: Scene) -> None:
    scene.claimed(scene.talent(DOCTOR), "monthly_rent")
    lower = draft_of("talent_code.benefits.monthly_rent", "value: 2_500 yuan,", "value: 2_000 yuan,")
    modules = {one.module: one for one in replayed(scene, lower).modules}
    claims = modules["talent_code.benefits.monthly_rent"]
    assert [(cell.decided, cell.draft, cell.count) for cell in claims.results] == [("2_500 yuan", "2_000 yuan", 1)]
    classes = modules["talent_code.class"]
    assert (classes.replayed, classes.changed, classes.not_replayed) == (1, 0, {})


def test_a_class_whose_evidence_changed_since_is_counted_and_not_guessed(scene: Scene) -> None:
    scene.loses_class(scene.talent(DOCTOR))
    (classes,) = replayed(scene, scene.city.rulebook).modules
    assert (classes.replayed, classes.not_replayed) == (0, {"facts_changed": 1})

"""A notice is neither lost nor doubled when the process dies between keeping it and marking it as sent."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from msgspec.structs import replace

from backend.city.notices import Notice
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.ports import Education
from backend.services.talent_code.saga import reviews
from tests.services.health_code.scene import stored
from tests.services.killing import Killed, KillingStore
from tests.services.talent_code.scene import DOCTOR, Scene


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_a_process_that_dies_at_any_write_loses_and_doubles_no_notice(
    scene: Scene, sent_notices: Callable[[], list[str]], after: bool
) -> None:
    killing = KillingStore(scene.city.store)
    city = replace(scene.city, store=killing)

    async def resume(person: str) -> None:
        with suppress(Killed):
            await reviews.resume(city, person)

    for number in range(6):
        person = scene.citizen(f"1380000011{number}")
        scene.port(Education).database.script_outcomes("confirm_degree", "pending")
        scene.has(person, DOCTOR)
        assert scene.declares(person, DOCTOR).json()["evidence"][0]["state"] == "declared"
        scene.clock.now += timedelta(seconds=10)
        killing.countdown, killing.after = number, after
        scene.call(resume, person.id)
        killing.countdown = None
        scene.time_passes(hours=7)
        assert sent_notices() == ["granted"] * (number + 1)
    assert killing.kills == len({"the review", "the notice", "its mark"})
    assert len(stored(scene.client, Notice)) == len(stored(scene.client, Talent)) == 6

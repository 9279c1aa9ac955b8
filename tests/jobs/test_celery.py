"""Jobs as messages of the broker."""

from backend.jobs.celery import job_of, message_of
from backend.jobs.tasks import Job

JOB = Job("trees.water", ("oak", 3), "job", 2)


def test_a_message_contains_the_whole_job() -> None:
    assert job_of("trees.water", message_of(JOB)) == JOB


def test_a_message_of_the_previous_edition_is_read() -> None:
    assert job_of("trees.water", {"id": "job", "arguments": ["oak", 3], "tries": 2}) == JOB

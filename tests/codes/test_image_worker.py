import asyncio
import threading

import pytest

from backend.codes.image_worker import MAX_QUEUED, ImageWorker, ImageWorkerBusy


def test_drawings_run_one_at_a_time_outside_the_event_loop() -> None:
    running: list[int] = []
    worker = ImageWorker()

    def drawing() -> int:
        running.append(threading.get_ident())
        assert worker.pending > 0
        return len(running)

    async def draw_many() -> list[int]:
        return await asyncio.gather(*(worker.draw(drawing) for _ in range(8)))

    assert asyncio.run(draw_many()) == list(range(1, 9))
    assert len(set(running)) == 1
    assert running[0] != threading.get_ident()
    assert worker.pending == 0


def test_a_drawing_is_refused_when_the_queue_is_full() -> None:
    worker = ImageWorker()
    release = threading.Event()

    async def draw_too_many() -> None:
        drawings = [asyncio.create_task(worker.draw(release.wait)) for _ in range(MAX_QUEUED)]
        await asyncio.sleep(0)
        with pytest.raises(ImageWorkerBusy) as refused:
            await worker.draw(release.wait)
        assert refused.value.headers == {"Retry-After": "1"}
        release.set()
        assert all(await asyncio.gather(*drawings))

    asyncio.run(draw_too_many())

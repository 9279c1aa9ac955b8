"""How many requests may be in flight follows from how long they take."""

import pytest

from backend.operations.load_shedding import (
    ADAPT_SECONDS,
    FIRST_ROOM,
    LEAST_ROOM,
    MOST_ROOM,
    BegunRequest,
    LoadShedder,
    Rank,
    adapted_room,
)

TARGET = 0.05
OVERLOAD, REFUSAL_SECONDS = 3, 12e-6
COLOUR, SCAN, PAGE, CHARGE, IMAGE = (
    Rank("essential", "citizens"),
    Rank("essential", "gates"),
    Rank("ordinary", "citizens"),
    Rank("ordinary", "institutions"),
    Rank("decoration", "citizens"),
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def filled(**audiences: int) -> LoadShedder:
    """Return a LoadShedder with requests of these audiences in flight."""
    load_shedder = LoadShedder()
    for audience, count in audiences.items():
        for _ in range(count):
            load_shedder.begin(audience)  # type: ignore[arg-type]
    return load_shedder


# ── adaptation ──


@pytest.mark.parametrize(
    ("room", "peak", "mean", "was_full", "adapted"),
    [
        pytest.param(400, 400, 0.0625, True, 320, id="too slow: in proportion"),
        pytest.param(400, 400, 5.0, True, 280, id="far too slow: by three tenths at a time"),
        pytest.param(400, 200, 0.0625, False, 160, id="too slow with little in flight: from there"),
        pytest.param(150, 150, 5.0, True, LEAST_ROOM, id="never below the least"),
        pytest.param(LEAST_ROOM, 3, 5.0, False, LEAST_ROOM, id="slow without any queue"),
        pytest.param(400, 400, 0.04, True, 500, id="fast and full: in proportion"),
        pytest.param(400, 400, 0.001, True, 500, id="very fast and full: by a quarter at a time"),
        pytest.param(400, 400, 0.0, True, 500, id="in no time"),
        pytest.param(400, 90, 0.001, False, 400, id="fast and not full: no more is of use"),
        pytest.param(MOST_ROOM, MOST_ROOM, 0.001, True, MOST_ROOM, id="never above the most"),
    ],
)
def test_the_room_follows_the_mean_time(room: int, peak: int, mean: float, was_full: bool, adapted: int) -> None:
    assert adapted_room(room, peak, mean, TARGET, was_full=was_full) == adapted


@pytest.mark.parametrize("milliseconds_each", [0.05, 0.14, 0.3])
def test_the_mean_time_of_an_overloaded_process_comes_to_meet_the_target(milliseconds_each: float) -> None:
    """A process with one core, which takes as many as it may and answers them one after the other."""
    clock = Clock()
    load_shedder = LoadShedder(TARGET, clock)
    mean = 0.0
    for _ in range(200):
        begun = [load_shedder.begin() for _ in range(5_000) if load_shedder.has_room(COLOUR, is_first=False)]
        began, total = clock.now, 0.0
        for request in begun:
            clock.now += milliseconds_each / 1_000
            total += clock.now - began
            load_shedder.end(request)
        mean = total / len(begun)
    assert TARGET * 0.7 < mean < TARGET * 1.1
    assert load_shedder.in_flight == 0


@pytest.mark.parametrize("milliseconds_each", [0.14, 0.3])
def test_three_times_the_capacity_leaves_most_of_it_to_those_who_are_served(milliseconds_each: float) -> None:
    """In an open loop on one core, which reads all that has come, refuses some, and then answers the others in turn."""
    clock = Clock()
    load_shedder = LoadShedder(clock=clock)
    service, began, arrived, served = milliseconds_each / 1_000, clock.now, 0, list[float]()
    while clock.now < began + 10:
        due = range(arrived, int((clock.now - began) * OVERLOAD / service) + 1)
        arrived = due.stop
        admitted: list[tuple[float, BegunRequest]] = []
        for number in due:
            if load_shedder.has_room(COLOUR, is_first=False):
                admitted.append((began + number * service / OVERLOAD, load_shedder.begin()))
            else:
                clock.now += REFUSAL_SECONDS
        for came, request in admitted:
            clock.now += service
            load_shedder.end(request)
            if clock.now > began + 5:
                served.append(clock.now - came)
        clock.now += 1e-6
    assert len(served) * service > 0.75 * 5, "three quarters of the capacity"
    assert sorted(served)[int(len(served) * 0.99)] < 0.15


def test_the_room_adapts_each_tenth_of_a_second() -> None:
    clock = Clock()
    load_shedder = LoadShedder(TARGET, clock)
    rooms: list[int] = []
    for _ in range(9):
        requests = [load_shedder.begin() for _ in range(300)]
        rooms.append(load_shedder.room)
        assert not load_shedder.has_room(IMAGE, is_first=False)
        clock.now += TARGET * 0.75
        for request in requests:
            load_shedder.end(request)
    assert rooms == [256, 320, 320, 320, 400, 400, 400, 500, 500], "each third time"
    assert 2 * TARGET * 0.75 < ADAPT_SECONDS < 3 * TARGET * 0.75


def test_a_process_that_has_answered_nothing_keeps_its_room() -> None:
    clock = Clock()
    load_shedder = LoadShedder(TARGET, clock)
    for _ in range(20):
        load_shedder.begin()
        clock.now += 1
    assert load_shedder.room == FIRST_ROOM


def test_the_time_for_which_a_request_waits_for_its_client_is_not_ours() -> None:
    clock = Clock()
    load_shedder = LoadShedder(TARGET, clock)
    request = load_shedder.begin()
    load_shedder.wait(request)
    assert load_shedder.in_flight == 0
    clock.now += 20
    load_shedder.resume(request)
    clock.now += 0.01
    load_shedder.end(request)
    load_shedder.begin()
    assert load_shedder.room == FIRST_ROOM
    assert not request.is_admitted, "it came late, and is admitted again"


# ── who is refused ──


def refused(load_shedder: LoadShedder, *, is_first: bool = False) -> set[Rank]:
    ranks = (COLOUR, SCAN, PAGE, CHARGE, IMAGE)
    return {rank for rank in ranks if not load_shedder.has_room(rank, is_first=is_first)}


def test_citizens_fill_their_room_by_priority_and_leave_that_of_gates_and_institutions() -> None:
    assert refused(filled(citizens=127)) == set()
    assert refused(filled(citizens=128)) == {IMAGE}
    assert refused(filled(citizens=192)) == {IMAGE, PAGE}
    assert refused(filled(citizens=256)) == {IMAGE, PAGE, COLOUR}


def test_gates_and_institutions_have_a_quarter_of_the_room_however_many_citizens_there_are() -> None:
    assert refused(filled(citizens=256, gates=63, institutions=47)) == {IMAGE, PAGE, COLOUR}
    assert refused(filled(citizens=256, gates=64, institutions=48)) == {IMAGE, PAGE, COLOUR, SCAN, CHARGE}


def test_gates_and_institutions_do_not_fill_the_room_of_citizens() -> None:
    assert refused(filled(gates=150, institutions=150)) == {IMAGE, SCAN, CHARGE}
    assert refused(filled(gates=150, institutions=150, citizens=128)) == {IMAGE, SCAN, CHARGE, PAGE, COLOUR}


def test_the_first_request_of_a_connection_has_half_as_much_room_again() -> None:
    load_shedder = filled(citizens=256)
    assert COLOUR in refused(load_shedder)
    assert COLOUR not in refused(load_shedder, is_first=True)
    assert COLOUR in refused(filled(citizens=384), is_first=True)


def test_a_request_that_was_admitted_when_it_began_is_not_refused_later() -> None:
    load_shedder = filled(citizens=1_000)
    load_shedder.admit("decoration", load_shedder.begin(is_admitted=True))
    assert load_shedder.refused == 0


def test_a_request_that_waits_for_its_client_is_no_load_however_often_that_is_said() -> None:
    load_shedder = LoadShedder()
    request = load_shedder.begin()
    for expected, change in ((0, load_shedder.wait), (1, load_shedder.resume)):
        for _ in range(2):
            change(request)
            assert load_shedder.in_flight == expected
    load_shedder.wait(request)
    load_shedder.end(request)
    assert load_shedder.in_flight == 0

from pathlib import Path

import pytest

from tests.rulebook.tram import FARE, REFUND, faults

HEAD, _ = FARE.replace("[full, half, free]", "[full, half, free]").split("rules:\n")
OTHERWISE = FARE[FARE.index("otherwise:") :]


def module(*rules: tuple[str, str, str], strategy: str = "most_severe") -> str:
    """Return a module with these rules (id, condition, result); the first is in line 11."""
    lines = [
        f"  - {{id: {name}, when: '{when}', then: {then}, because: {{zh: 甲, en: A}}, source: s, from: 2020-01-01}}"
        for name, when, then in rules
    ]
    return HEAD.replace("most_severe", strategy) + "\n".join(["rules:", *lines, OTHERWISE])


@pytest.mark.parametrize(
    "when",
    [
        "facts.age < 14 && facts.age >= 14",
        "facts.age == 3 && facts.age + 1 == 5",
        "facts.student && !facts.student",
        'has(facts.home) && facts.home == "east" && facts.home == "west"',
        'facts.passes.exists(p, p.kind == "day" && p.kind == "year")',
        "facts.passes.exists(p, now - p.bought_at < lasts && now - p.bought_at >= lasts)",
        'has(facts.home) && facts.home != "east" && facts.home != "west"',
        "false",
    ],
)
def test_a_rule_that_contradicts_itself_is_rejected(tmp_path: Path, when: str) -> None:
    (found,) = faults(tmp_path, module(("never", when, "half")))
    assert found.startswith("11:10: 'never' can never fire: its condition contradicts itself")


def test_a_rule_that_a_more_severe_one_always_accompanies_is_shadowed(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, module(("baby", "facts.age < 4", "half"), ("child", "facts.age < 14", "free")))
    assert found == "11:10: 'baby' is shadowed: it never decides ('child' in line 12 always fires with it and decides)"


def test_under_first_a_rule_after_a_wider_one_is_shadowed(tmp_path: Path) -> None:
    rules = ("child", "facts.age < 14", "half"), ("baby", "facts.age < 4", "free")
    (found,) = faults(tmp_path, module(*rules, strategy="first"))
    assert found.startswith("12:10: 'baby' is shadowed")
    assert faults(tmp_path, module(*reversed(rules), strategy="first")) == []


def test_of_rules_that_answer_numbers_one_after_a_wider_one_is_shadowed_too(tmp_path: Path) -> None:
    numbers = REFUND.replace("minutes >= 60", "minutes >= 10")
    (found,) = faults(tmp_path, refund=numbers)
    assert found.startswith("29:9: 'delay' is shadowed: it never decides ('long-delay' in line 23")
    (found,) = faults(tmp_path, refund=REFUND.replace("strategy: first", "strategy: unique"))
    assert found.startswith("29:9: 'delay' can fire together with 'long-delay'")


def test_rules_that_only_overlap_shadow_nothing(tmp_path: Path) -> None:
    rules = ("young", "facts.age < 30", "half"), ("student", "facts.student && facts.age < 40", "free")
    assert faults(tmp_path, module(*rules)) == []


def test_a_rule_shadowed_for_a_part_of_its_time_alone_is_sound(tmp_path: Path) -> None:
    text = module(("baby", "facts.age < 4", "half"), ("child", "facts.age < 14", "free"))
    begin, end = text.split("id: child")
    later = f"{begin}id: child{end.replace('from: 2020-01-01', 'from: 2021-01-01', 1)}"
    assert later != text
    assert faults(tmp_path, later) == []


def test_under_unique_two_rules_that_can_fire_at_once_are_rejected(tmp_path: Path) -> None:
    rules = ("young", "facts.age < 14", "half"), ("student", "facts.student", "free")
    (found,) = faults(tmp_path, module(*rules, strategy="unique"))
    assert found.startswith("12:10: 'student' can fire together with 'young'")


def test_under_unique_rules_that_exclude_each_other_are_sound(tmp_path: Path) -> None:
    rules = ("young", "facts.age < 14", "half"), ("student", "facts.student && facts.age >= 14", "free")
    assert faults(tmp_path, module(*rules, strategy="unique")) == []

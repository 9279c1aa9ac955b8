"""A comparison says what changed in meaning, rule by rule, and what that can alter."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.rulebook import Rulebook, SourceFile, make_rulebook
from backend.rulebook.diff import ModuleDiff, case_changes, diff_rulebooks
from backend.rulebook.modules.cases import read_cases
from tests.rulebook.tram import CITY, FARE, REFUND, Delay, Pass, Rider

CHILD = "    when: facts.age < 14\n"
PASS = 'facts.passes.exists(p, p.kind == "day"\n        && now - p.bought_at < lasts)'
CASES = """\
module: tram.fare
cases:
  - case: a child
    at: "2020-01-02T00:00:00+08:00"
    given: {age: 13}
    expect: half
"""


def rulebook(fare: str, refund: str = REFUND) -> Rulebook:
    texts = {"tram.fare": fare, "tram.refund": refund}
    return make_rulebook({name: SourceFile(name, text, []) for name, text in texts.items()}, [Rider, Delay], CITY)


def changed(old: str, new: str, *, text: str = FARE) -> ModuleDiff:
    """Return how tram.fare differs after an edit of its text."""
    assert old in text
    (module,) = diff_rulebooks(rulebook(text), rulebook(text.replace(old, new))).modules
    return module


def shown(module: ModuleDiff) -> list[tuple[str, str, str, str | None, str | None]]:
    return [(one.kind, one.subject, one.effect, one.before, one.after) for one in module.changes]


def test_the_same_rules_do_not_differ() -> None:
    found = diff_rulebooks(rulebook(FARE), rulebook(FARE))
    assert (found.modules, found.effect) == ((), "none")
    assert found.old == found.new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("module: tram.fare", "# a remark\nmodule: tram.fare"),
        (PASS, 'facts.passes.exists(p, p.kind == "day" && now - p.bought_at < lasts)'),
        ("value: 1d", "value: 24h"),
    ],
    ids=["a comment", "layout", "the same duration"],
)
def test_comments_and_layout_are_no_change(old: str, new: str) -> None:
    module = changed(old, new)
    assert (module.state, module.effect, module.changes) == ("changed", "none", ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("facts.age < 14", "14 > facts.age"),
        ("facts.age < 14", "facts.age < 7 + 7"),
        (PASS, 'facts.passes.exists(ticket, ticket.kind == "day" && now - ticket.bought_at < lasts)'),
        (PASS, 'facts.passes.exists(p, now - p.bought_at < lasts && "day" == p.kind)'),
    ],
    ids=["a mirrored comparison", "a sum of constants", "another name of an element", "another order"],
)
def test_a_condition_that_is_written_otherwise_and_means_the_same_is_told_as_rewritten(old: str, new: str) -> None:
    module = changed(old, new)
    assert module.effect == "none"
    assert [one.kind for one in module.changes] == ["rewritten"]


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("facts.age < 14", "facts.age < 12", ("threshold", "child", "result", "14", "12")),
        ("facts.age < 14", "facts.age <= 14", ("condition", "child", "result", "facts.age < 14", "facts.age <= 14")),
        ('"day"', '"year"', ("threshold", "day-pass", "result", '"day"', '"year"')),
        (
            PASS,
            'facts.passes.exists(p, p.kind == "day")',
            ("condition", "day-pass", "result", "&& now - p.bought_at < lasts", None),
        ),
        (
            "facts.age < 14",
            "facts.age < 14 && facts.student",
            ("condition", "child", "result", None, "&& facts.student"),
        ),
        ("then: half", "then: free", ("then", "child", "result", "half", "free")),
        ("then: full", "then: half", ("otherwise", "otherwise", "result", "full", "half")),
        ("value: 2d", "value: 3d", ("parameter", "lasts", "result", "2d", "3d")),
        ("from: 2022-01-01", "from: 2023-01-01", ("parameter", "lasts", "result", "2d", "1d")),
        (
            "You are under fourteen",
            "You are a child",
            ("because", "child", "wording", "您未满十四岁 / You are under fourteen", "您未满十四岁 / You are a child"),
        ),
        ("id: child", "id: minor", ("rule_renamed", "child", "wording", "child", "minor")),
        ("en: Fare}", "en: Price}", ("title", "title", "none", "车票 / Fare", "车票 / Price")),
        (
            "[full, half, free]",
            "[half, full, free]",
            ("result", "result", "result", "[full, half, free]", "[half, full, free]"),
        ),
        ("strategy: most_severe", "strategy: first", ("strategy", "strategy", "result", "most_severe", "first")),
    ],
    ids=[
        "a number",
        "an operator",
        "a word",
        "an operand less",
        "an operand more",
        "a result",
        "the result otherwise",
        "a parameter",
        "the day of a parameter",
        "a reason",
        "the name of a rule",
        "the title",
        "the order of severity",
        "the strategy",
    ],
)
def test_each_change_says_what_was_and_what_is(old: str, new: str, change: tuple[str, ...]) -> None:
    assert shown(changed(old, new)) == [change]


def test_a_threshold_names_what_it_bounds_in_both_languages() -> None:
    (one,) = changed("facts.age < 14", "facts.age < 12").changes
    assert one.place == "facts.age"
    assert (one.text.zh, one.text.en) == (
        "界限 child，facts.age：14 → 12",
        "threshold child, facts.age: 14 → 12",
    )


def test_a_parameter_s_value_is_told_from_the_day_on_which_it_differs() -> None:
    (one,) = changed("value: 2d", "value: 3d").changes
    assert one.text.en == "parameter lasts from 2022-01-01: 2d → 3d"
    assert one.text.zh == "参数 lasts，自2022-01-01起：2d → 3d"


def test_the_period_of_a_rule_is_told() -> None:
    module = changed("    from: 2020-01-01\n" + CHILD, "    from: 2020-01-01\n    until: 2024-01-01\n" + CHILD)
    assert shown(module) == [("period", "child", "result", "2020-01-01 – …", "2020-01-01 – 2024-01-01")]


def test_a_renamed_parameter_with_the_same_values_is_told_as_renamed() -> None:
    module = changed("lasts", "validity")
    assert shown(module) == [("parameter_renamed", "lasts", "none", "lasts", "validity")]
    assert module.effect == "none"


def test_a_number_that_becomes_a_parameter_of_the_same_value_changes_nothing() -> None:
    parameter = 'parameters:\n  of_age:\n    - {value: 14, source: "[S] council"}\n'
    text = FARE.replace("facts.age < 14", "facts.age < of_age").replace("parameters:\n", parameter)
    (module,) = diff_rulebooks(rulebook(FARE), rulebook(text)).modules
    assert module.effect == "none"
    assert [one.kind for one in module.changes] == ["parameter_added", "threshold"]


def test_rules_that_were_added_and_removed_are_told_with_their_condition() -> None:
    student = FARE.replace("id: child", "id: student").replace("facts.age < 14", "facts.student")
    (module,) = diff_rulebooks(rulebook(FARE), rulebook(student)).modules
    assert shown(module) == [
        ("rule_removed", "child", "result", "facts.age < 14 → half [2020-01-01 – …]", None),
        ("rule_added", "student", "result", None, "facts.student → half [2020-01-01 – …]"),
    ]


@pytest.mark.parametrize(("strategy", "effect"), [("first", "result"), ("most_severe", "wording")])
def test_the_order_of_rules_matters_where_the_first_decides(strategy: str, effect: str) -> None:
    text = FARE.replace("most_severe", strategy)
    head, rest = text.split("rules:\n")
    child, others = rest[: rest.index("  - id: day-pass")], rest[rest.index("  - id: day-pass") :]
    day_pass, otherwise = others.split("otherwise:")
    (module,) = diff_rulebooks(
        rulebook(text), rulebook(f"{head}rules:\n{day_pass}{child}otherwise:{otherwise}")
    ).modules
    assert [(one.kind, one.effect) for one in module.changes] == [("rule_order", effect)]


def test_terms_are_told_field_by_field_and_day_by_day() -> None:
    text = REFUND.replace("budget_fen: 500000", "budget_fen: 600000").replace("paid: card", "paid: cash")
    (module,) = diff_rulebooks(rulebook(FARE), rulebook(FARE, text)).modules
    assert shown(module) == [
        ("terms", "paid", "result", "card", "cash"),
        ("terms", "budget_fen", "result", "5_000 yuan", "6_000 yuan"),
    ]
    assert module.changes[0].text.en == "terms paid from 2022-01-01: card → cash"


def test_amounts_are_told_in_yuan_and_only_the_sources_that_differ() -> None:
    values = """parameters:
  {0}:
    unit: yuan
    values:
      - {{until: 2021-01-01, value: {1} yuan, source: "[S] council"}}
      - {{from: 2021-01-01, value: 1_440 yuan, source: "{2}"}}
"""
    both = [
        FARE.replace("parameters:\n", values.format("low", amount, source) + values.format("high", amount, source)[12:])
        for amount, source in (("720", "[S] council"), ("900", "[S] mayor"))
    ]
    (module,) = diff_rulebooks(*map(rulebook, both)).modules
    assert [(one.subject, one.before, one.after) for one in module.changes] == [
        ("low", "720 yuan", "900 yuan"),
        ("high", "720 yuan", "900 yuan"),
        ("low, high", None, "[S] mayor"),
    ]


def test_a_module_that_was_added_can_alter_results() -> None:
    both = rulebook(FARE)
    one = make_rulebook({"tram.refund": SourceFile("refund", REFUND.replace("[tram.fare]", "[]"), [])}, [Delay], CITY)
    found = {module.module: module.state for module in diff_rulebooks(one, both).modules}
    assert found == {"tram.fare": "added", "tram.refund": "changed"}
    assert diff_rulebooks(both, one).effect == "result"


def test_cases_that_were_added_removed_or_changed_are_told() -> None:
    module = rulebook(FARE).modules["tram.fare"]

    def cases(text: str) -> list[tuple[str, str]]:
        before, after = (read_cases(SourceFile("c", one, []), module) for one in (CASES, text))
        return [(one.kind, one.subject) for one in case_changes(before, after)]

    assert cases(CASES) == []
    assert cases("# a remark\n" + CASES) == []
    assert cases(CASES.replace("age: 13", "age: 12")) == [("case_changed", "a child")]
    assert cases(CASES.replace("a child", "a minor")) == [("case_removed", "a child"), ("case_added", "a minor")]


EDITS = [
    ("facts.age < 14", "14 > facts.age"),
    ("facts.age < 14", "facts.age <= 13"),
    ("facts.age < 14", "facts.age < 60"),
    ("then: half", "then: free"),
    ("lasts", "validity"),
    ("value: 2d", "value: 3d"),
    ("value: 2d", "value: 48h"),
    ("You are under fourteen", "You are a child"),
    ("id: child", "id: minor"),
    ('p.kind == "day"\n        && now - p.bought_at < lasts', 'now - p.bought_at < lasts && p.kind == "day"'),
    ("then: full", "then: half"),
    ("from: 2022-01-01", "from: 2021-06-01"),
]
DAYS = [datetime(2021, 12, day, tzinfo=UTC) for day in range(1, 31)]
passes = st.builds(Pass, kind=st.sampled_from(["day", "year"]), bought_at=st.sampled_from(DAYS))
riders = st.builds(Rider, age=st.integers(0, 80), passes=st.lists(passes, max_size=2).map(tuple))


@given(st.lists(st.sampled_from(EDITS), max_size=3, unique=True), riders, st.integers(0, 900))
def test_no_verdict_changes_by_more_than_the_comparison_says(
    edits: list[tuple[str, str]], rider: Rider, day: int
) -> None:
    text = FARE
    for old, new in edits:
        text = text.replace(old, new)
    old, new = rulebook(FARE), rulebook(text)
    effect = diff_rulebooks(old, new).effect
    at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day)
    before, after = (one.evaluate("tram.fare", rider, at) for one in (old, new))
    if before.result != after.result:
        assert effect == "result"
    elif (before.rule, before.because, before.fired) != (after.rule, after.because, after.fired):
        assert effect != "none"


def test_a_text_that_takes_its_figure_from_a_parameter_and_reads_the_same_is_no_change() -> None:
    parameter = 'parameters:\n  of_age:\n    - {value: 14, source: "[S] council"}\n'
    because = "{zh: 您未满十四岁, en: You are under fourteen}"
    text = FARE.replace("parameters:\n", parameter).replace(because, "{zh: 您未满14岁, en: You are under 14}")
    figures = text.replace("您未满14岁", '"您未满{of_age}岁"').replace("You are under 14", '"You are under {of_age}"')
    (module,) = diff_rulebooks(rulebook(text), rulebook(figures)).modules
    assert shown(module) == [("text_rewritten", "child", "none", None, None)]
    (raised,) = diff_rulebooks(rulebook(figures), rulebook(figures.replace("value: 14", "value: 16"))).modules
    assert shown(raised) == [("parameter", "of_age", "wording", "14", "16")]

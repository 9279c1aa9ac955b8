"""A module names the articles of its orders: which it encodes, and which it leaves out and why."""

from zoneinfo import ZoneInfo

import pytest

from backend.i18n import Text
from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook
from backend.rulebook.checks.example import Resident
from backend.rulebook.diff import diff_rulebooks
from backend.rulebook.editor.completion import Draft, suggest_at
from backend.rulebook.editor.outline import outline
from backend.rulebook.editor.place import Place
from backend.rulebook.modules.law import cover_articles
from backend.rulebook.source import Fault

CITY = ZoneInfo("Asia/Shanghai")

SUBSIDY = """\
module: subsidy
title: {zh: 高龄津贴, en: Old-age subsidy}
facts: Resident
result: [none, basic, high]
strategy: most_severe
sources:
  bulletin: "[V] the bulletin of 2020"
articles:
  order_3:
    title: {zh: 高龄津贴办法, en: Order on the old-age subsidy}
    source: bulletin
    articles:
      1: {title: {zh: 目的, en: Purpose}, not_encoded: {zh: 只说明目的, en: It states a purpose only}}
      2: {title: {zh: 70周岁, en: At seventy}}
      3-1: {title: {zh: 80周岁, en: At eighty}, not_encoded: {zh: 慰问品由街道发放, en: The office sends the gifts}}
parameters:
  high_age:
    - {from: 2020-01-01, value: 80, source: bulletin, article: order_3/3-1}
rules:
  - table:
      - {name: old, age: "70", then: basic, article: order_3/2}
      - {name: very-old, age: high_age, then: high, article: [order_3/2, order_3/3-1]}
    id: <name>
    from: 2020-01-01
    when: facts.age >= <age>
    because: {zh: 年龄达到规定, en: You are old enough}
    source: bulletin
otherwise: {then: none, because: {zh: 年龄未到, en: You are too young}}
"""


def rulebook(text: str, *, strict: bool = True) -> Rulebook:
    return make_rulebook({"subsidy": SourceFile("subsidy.yaml", text, [])}, [Resident], CITY, strict=strict)


def faults_after(old: str, new: str, *, strict: bool = True) -> list[Fault]:
    assert old in SUBSIDY
    with pytest.raises(InvalidRulebook) as error:
        rulebook(SUBSIDY.replace(old, new, 1), strict=strict)
    return list(error.value.faults)


def marked(fault: Fault) -> str:
    """Return the characters under the caret."""
    at = fault.location
    return fault.excerpt[at.column - 1 : at.column - 1 + at.length]


def test_each_article_names_the_rules_and_parameters_that_encode_it() -> None:
    module = rulebook(SUBSIDY).modules["subsidy"]
    (order,) = module.orders
    assert [(one.article.id, one.state, one.rules, one.parameters) for one in cover_articles(module, order)] == [
        ("order_3/1", "not_encoded", (), ()),
        ("order_3/2", "encoded", ("old", "very-old"), ()),
        ("order_3/3-1", "partly", ("very-old",), ("high_age",)),
    ]


def test_the_source_of_an_order_may_be_a_named_one() -> None:
    (order,) = rulebook(SUBSIDY).modules["subsidy"].orders
    assert order.source == "[V] the bulletin of 2020"


@pytest.mark.parametrize(
    ("old", "new", "code", "place"),
    [
        ("article: order_3/2}", "article: order_3/22}", "R110", "order_3/22"),
        ("source: bulletin, article: order_3/3-1", "source: bulletin, article: order_4/1", "R110", "order_4/1"),
        (
            "1: {title: {zh: 目的, en: Purpose}, not_encoded: {zh: 只说明目的, en: It states a purpose only}}",
            "1: {title: {zh: 目的, en: Purpose}}",
            "R111",
            "1",
        ),
        ("[order_3/2, order_3/3-1]", "[order_3/2, order_3/2]", "R112", "order_3/2"),
        ("      2: {", "      第二条: {", "R113", "第二条"),
        ("  order_3:\n", "  Order 3:\n", "R113", "Order 3"),
        ("not_encoded: {zh: 只说明目的, en: It states a purpose only}", "not_encoded: 无", "R012", "无"),
        ("not_encoded: {zh: 只说明目的, en: It", 'not_encoded: {zh: "", en: It', "R017", '""'),
        ("zh: 只说明目的, en: It", "zh: purpose, en: It", "R074", "purpose"),
        ("[V] the bulletin", "the bulletin", "R073", '"the bulletin of 2020"'),
        ("article: order_3/2}", "article: {order_3: 2}}", "R012", "{order_3: 2}"),
    ],
    ids=[
        "an unknown article of a rule",
        "an unknown order of a value",
        "neither encoded nor explained",
        "an article twice",
        "a number of another form",
        "a name of an order of another form",
        "a reason in one language",
        "an empty reason",
        "a Chinese reason in English",
        "a source without its mark",
        "an article as a mapping",
    ],
)
def test_each_mistake_is_shown_at_its_place(old: str, new: str, code: str, place: str) -> None:
    found = faults_after(old, new)
    assert (found[0].code, marked(found[0])) == (code, place)
    assert found[0].help.zh
    assert found[0].help.en


def test_an_unknown_article_is_compared_with_those_that_are_listed() -> None:
    (fault,) = faults_after("article: order_3/2}", "article: order_3/22}")
    assert fault.help == Text(zh="是否应为“order_3/2”？", en="did you mean 'order_3/2'?")


def test_a_server_loads_a_release_whose_articles_are_not_all_explained() -> None:
    text = SUBSIDY.replace(", not_encoded: {zh: 只说明目的, en: It states a purpose only}", "")
    assert rulebook(text, strict=False).modules["subsidy"].orders


@pytest.mark.parametrize(
    ("old", "new", "kind", "subject"),
    [
        ("zh: 70周岁", "zh: 年满70周岁", "article", "order_3/2"),
        (
            "only}}\n",
            "only}}\n      4: {title: {zh: 附则, en: Other}, not_encoded: {zh: 无, en: none}}\n",
            "article_added",
            "order_3/4",
        ),
        ("then: basic, article: order_3/2", "then: basic, article: [order_3/2, order_3/3-1]", "encoded", "old"),
        ("source: bulletin, article: order_3/3-1", "source: bulletin, article: order_3/2", "encoded", "high_age"),
        ("zh: 高龄津贴办法", "zh: 高龄津贴实施办法", "article", "order_3"),
    ],
    ids=["a title", "a new article", "the articles of a rule", "those of a parameter", "the title of an order"],
)
def test_a_change_of_the_articles_is_shown_and_alters_no_verdict(old: str, new: str, kind: str, subject: str) -> None:
    assert old in SUBSIDY
    (module,) = diff_rulebooks(rulebook(SUBSIDY), rulebook(SUBSIDY.replace(old, new, 1))).modules
    assert [(one.kind, one.subject, one.effect) for one in module.changes] == [(kind, subject, "none")]


@pytest.mark.parametrize(
    "keys",
    [("rules", "-", "article"), ("rules", "-", "article", "-"), ("parameters", "high_age", "-", "article")],
    ids=["a rule", "a list", "a value"],
)
def test_an_editor_offers_the_articles_that_the_module_names(keys: tuple[str, ...]) -> None:
    found = outline(SUBSIDY)
    draft = Draft(cases=False, outline=found, module=found, facts=Resident, structs={}, parameters={})
    offered = suggest_at(Place(keys, "order_3/", is_key=False), draft)
    assert [one.label for one in offered] == ["order_3/1", "order_3/2", "order_3/3-1"]

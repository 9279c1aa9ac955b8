import pytest

from backend.rulebook.language.syntax import InvalidExpression, Literal, parse


def test_a_string_may_hold_escapes_and_chinese() -> None:
    parsed = parse(r"'绿\u7801\n'")
    assert isinstance(parsed, Literal)
    assert parsed.value == "绿码\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the condition is empty"),
        ("a = b", "the rule language does not write `=`"),
        ("a and b", "the rule language does not write `and`"),
        ('"abc', "the string is not closed, or has a line break"),
        ("a +", "the expression is incomplete"),
        ("1u", "unsigned integers are not part of the rule language"),
        ("{'a': 1}", "maps are not part of the rule language"),
        ("for", "'for' is a reserved word of CEL"),
        (r"'\q'", r"unknown escape '\\q'"),
        ("(" * 101 + "1" + ")" * 101 + " + (", "the `(` is not closed"),
        ("!" * 101 + "true", "nested deeper than 100 levels"),
    ],
)
def test_an_invalid_expression_has_a_plain_message(text: str, message: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse(text)
    assert caught.value.message.en == message


def test_an_error_points_at_its_characters() -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse("facts.age and facts.fever")
    assert (caught.value.start, caught.value.end, caught.value.help.en) == (10, 13, "write `&&`")

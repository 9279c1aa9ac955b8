import msgspec
import pytest

from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, NotFound, Problem


class CodeTriedTooOften(Problem):
    """An example."""

    status, title = 429, "Code tried too often"


GONE = Text(zh="没有了。", en="It is gone.")


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (NotFound, "/problems/not-found"),
        (InvalidRequest, "/problems/invalid-request"),
        (CodeTriedTooOften, "/problems/code-tried-too-often"),
    ],
)
def test_the_type_of_a_problem_follows_from_its_name(kind: type[Problem], path: str) -> None:
    assert kind.type_path() == path


def test_a_problem_speaks_either_language() -> None:
    assert NotFound(GONE).body("zh", "r1")["detail"] == "没有了。"
    assert NotFound(GONE).body("en", "r1")["detail"] == "It is gone."


def test_the_body_of_a_problem_is_what_rfc_9457_names_and_its_own_members() -> None:
    assert CodeTriedTooOften(GONE, tries_left=0).body("en", "r1") == {
        "type": "/problems/code-tried-too-often",
        "title": "Code tried too often",
        "status": 429,
        "detail": "It is gone.",
        "request_id": "r1",
        "tries_left": 0,
    }


def test_errors_are_in_the_body_only_if_there_are_any() -> None:
    error = FieldError("/phone", "Expected `str`, got `int`")
    assert InvalidRequest(GONE, errors=(error,)).body("en", "r1")["errors"] == (error,)
    assert "errors" not in InvalidRequest(GONE).body("en", "r1")


def test_the_english_detail_is_the_message_of_the_exception() -> None:
    assert str(NotFound(GONE)) == "It is gone."


class CreditUsedUp(Problem):
    """An example with a Chinese title."""

    status, title, title_zh = 409, "Credit used up", "额度已用完"


def test_a_chinese_answer_has_a_chinese_title_of_its_own_or_of_its_status() -> None:
    assert CreditUsedUp(GONE).body("zh", "r1")["title"] == "额度已用完"
    assert CodeTriedTooOften(GONE).body("zh", "r1")["title"] == "操作太频繁"
    assert CreditUsedUp(GONE).body("en", "r1")["title"] == "Credit used up"


def test_the_details_of_errors_are_in_the_language_of_the_answer() -> None:
    error = FieldError("/phone", "A phone number has 11 digits.", "手机号码应为11位。")
    problem = InvalidRequest(GONE, errors=(error, FieldError("/x", "wrong")))
    assert problem.body("zh", "r1")["errors"] == (FieldError("/phone", "手机号码应为11位。"), FieldError("/x", "wrong"))
    assert problem.body("en", "r1")["errors"][0] == FieldError("/phone", "A phone number has 11 digits.")
    assert msgspec.json.encode(problem.body("zh", "r1")["errors"][0]) == (
        '{"pointer":"/phone","detail":"手机号码应为11位。"}'.encode()
    )

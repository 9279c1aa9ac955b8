from backend.codes.signed_code import make_code_id


def test_a_code_id_is_twelve_random_characters() -> None:
    made = {make_code_id() for _ in range(1_000)}
    assert len(made) == 1_000
    assert {len(code_id) for code_id in made} == {12}

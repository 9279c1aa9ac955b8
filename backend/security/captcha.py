"""Captchas: what callers solve when a budget runs low, instead of being refused."""

from typing import Any, Protocol, runtime_checkable

from backend.problems import Problem

CAPTCHA_HEADER = "captcha-response"
"""The header that carries the solution of a captcha, with the request that was asked for it."""


class CaptchaRequired(Problem):
    """There were many requests lately; solve the `captcha` and repeat the request with its solution as a header."""

    status, title, title_zh = 429, "Captcha required", "需要验证"


@runtime_checkable
class Captcha(Protocol):
    """Asks callers to show that they are people, or to spend some work."""

    def challenge(self) -> dict[str, Any]:
        """Return what to solve, as members of a Problem."""
        ...

    async def solved(self, response: str) -> str | None:
        """Return the id of the challenge that this response solves, which is accepted once; None if it solves none."""
        ...


def captcha_required(captcha: Captcha) -> CaptchaRequired:
    """Return the Problem that asks to solve a captcha."""
    return CaptchaRequired(
        zh="操作较多，请完成验证后重试。",
        en="There were many requests lately. Solve the captcha and repeat the request with its solution.",
        headers={"Retry-After": "1"},
        captcha=captcha.challenge(),
    )

"""The figures of a run: rates by outcome, and times from when requests were due."""

from collections.abc import Iterable, Mapping, Sequence

Figures = Mapping[str, float]

REFUSED = 503


def outcome(answers: Iterable[tuple[int, float]], seconds: float) -> dict[str, float]:
    """Return the rates of a time of `seconds`, and the milliseconds within which answers came."""
    served, refused, other = list[float](), list[float](), 0
    for status, took in answers:
        if 200 <= status < 300:
            served.append(took)
        elif status == REFUSED:
            refused.append(took)
        else:
            other += 1
    return {
        "served_per_second": len(served) / seconds,
        "refused_per_second": len(refused) / seconds,
        "other": float(other),
        "served_p50_ms": percentile(served, 0.5) * 1000,
        "served_p99_ms": percentile(served, 0.99) * 1000,
        "refused_p99_ms": percentile(refused, 0.99) * 1000,
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed; 0 if there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(rows: Mapping[str, Figures]) -> str:
    """Return a Markdown table of the figures of each scenario."""
    lines = ["| scenario | figure | value |", "| --- | --- | --- |"]
    lines.extend(
        f"| {scenario} | {name.replace('_', ' ')} | {value:,.2f} |"
        for scenario, figures in rows.items()
        for name, value in figures.items()
    )
    return "\n".join(lines)

"""Measurements as lines for a terminal."""

from collections.abc import Mapping
from typing import Any


def line(result: Mapping[str, Any]) -> str:
    """One measurement, in one line."""
    return _LINES[result["mode"]](result)


def cpu(result: Mapping[str, Any], unit: str = "us_per_message") -> str:
    """CPU of each process, the server's first; `-` when its processes are not known."""
    parts = result.get("cpu", {})
    return (
        "  ".join(
            f"{name} {used[unit]:.0f}" for name, used in sorted(parts.items(), key=lambda part: part[0] == "generator")
        )
        or "-"
    )


def ms(value: float | None) -> str:
    """A time in ms."""
    return "-" if value is None else f"{value:.1f}"


def _ladder(result: Mapping[str, Any]) -> str:
    latency = result["latency_ms"]
    verdict = "holds" if result["holds"] else "does not hold"
    return (
        f"ladder {result['rate']:>6g}/s  p50 {ms(latency['p50']):>6}  p99 {ms(latency['p99']):>6}"
        f"  max {ms(latency['max']):>6} ms"
        f"   delivered {result['delivered']}/{result['due']}  {faults(result)}   µs a message: {cpu(result)}   {verdict}"
    )


def faults(result: Mapping[str, Any]) -> str:
    """What went wrong with messages."""
    text = f"missing {result['missing']} (pulled {result['pulled']}, lost {result['lost']})  wrong {result['wrong']}"
    for name in ("refused", "endings"):
        if result[name]:
            text += f"  {name}: " + ", ".join(f"{count} x {what}" for what, count in result[name].items())
    return text


_LINES = {"ladder": _ladder}

"""Measurements as lines for a terminal."""

from collections.abc import Mapping
from typing import Any

_QUIET_CORES = 0.15  # what a machine does by itself


def line(result: Mapping[str, Any]) -> str:
    """One measurement, in one line."""
    return f"{result['mode']:7}{_LINES[result['mode']](result)}"


def cpu(result: Mapping[str, Any], unit: str = "us_per_message") -> str:
    """CPU of each process, the generator's last; `-` when the server's processes are not known."""
    parts = sorted(result.get("cpu", {}).items(), key=lambda part: part[0] == "generator")
    text = "  ".join(f"{name} {used[unit]:.0f}" for name, used in parts) or "-"
    busy = result.get("others_cores")
    return text if busy is None or busy < _QUIET_CORES else f"{text}  (others kept {busy:.1f} cores busy)"


def ms(value: float | None) -> str:
    """A time in ms."""
    return "-" if value is None else f"{value:.1f}"


def faults(result: Mapping[str, Any]) -> str:
    """What went wrong with messages."""
    text = f"missing {result['missing']} (pulled {result['pulled']}, lost {result['lost']})  wrong {result['wrong']}"
    for name in ("refused", "endings"):
        if result[name]:
            text += f"  {name}: " + _counts(result[name])
    return text


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in counts.items())


def _latency(of: Mapping[str, float | None]) -> str:
    return f"p50 {ms(of['p50']):>6}  p99 {ms(of['p99']):>6}  max {ms(of['max']):>6} ms"


def _ladder(result: Mapping[str, Any]) -> str:
    return (
        f"{result['rate']:>6g}/s  {_latency(result['latency_ms'])}   delivered {result['delivered']}/{result['due']}"
        f"  {faults(result)}   µs a message: {cpu(result)}   {'holds' if result['holds'] else 'does not hold'}"
    )


def _group(result: Mapping[str, Any]) -> str:
    return (
        f"{result['members']} members, {result['rate']:g}/s = {result['deliveries_per_second']:.0f} deliveries/s"
        f"  {_latency(result['latency_ms'])}   {faults(result)}   µs a delivery: {cpu(result, 'us_per_delivery')}"
    )


def _idle(result: Mapping[str, Any]) -> str:
    each = "  ".join(
        f"{part} {of['pss_kb_per_stream']:.1f} (second half {of['pss_kb_per_stream_second_half']:.1f})"
        for part, of in result["memory"].items()
    )
    return f"{result['streams']} streams   kB a stream: {each}"


def _storm(result: Mapping[str, Any]) -> str:
    return (
        f"{result['streams']} streams cut, all back after {result['all_back_s']:.2f} s  {_latency(result['back_ms'])}"
        f"   refused meanwhile: {_counts(result['endings']) or 'none'}"
    )


def _kill(result: Mapping[str, Any]) -> str:
    return (
        f"{result['clients']} clients at {result['rate']:g}/s: server ready {result['server_ready_s']:.1f} s after SIGKILL,"
        f" all back after {result['all_back_s']:.1f} s   acknowledged {result['acked']}/{result['sent']}  {faults(result)}"
    )


def _soak(result: Mapping[str, Any]) -> str:
    verdicts = (
        f"{part}: {of['rss_kb_quiet'][0] / 1000:.1f} → {of['rss_kb_quiet'][-1] / 1000:.1f} MB,"
        f" {of['kb_per_1000_connects'][0]:+.0f} then {of['kb_per_1000_connects'][1]:+.0f} kB over 1,000 connects,"
        f" descriptors {of['descriptors_quiet'][0]:.0f} → {of['descriptors_quiet'][-1]:.0f}:"
        f" {'flat' if of['flat'] else 'GROWS'}"
        for part, of in result["growth"].items()
    )
    outcomes = "".join(f"\n       {count:6} {what}" for what, count in result["outcomes"].items())
    return (
        f"{result['connects']} connects   {'   '.join(verdicts)}\n       the others meanwhile: {_latency(result['latency_ms'])}"
        f"   {faults(result)}{outcomes}"
    )


_LINES = {"ladder": _ladder, "group": _group, "idle": _idle, "storm": _storm, "kill": _kill, "soak": _soak}

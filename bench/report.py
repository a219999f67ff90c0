"""The generated part of RESULTS.md: what was measured, twice, and how far apart the two are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import plots, table

BEGIN, END = "<!-- written by `python -m bench report`, from here -->", "<!-- to here -->"
_SAVINGS = "\n\n## Savings\n\nWhat each change brought.\n"
_SHAPES = {
    "embedded": "The embedded default",
    "real": "Kafka, Cassandra, MySQL, Redis, ZooKeeper; Stonechat in one process",
    "spread": "The same back ends; Stonechat in three processes: front, messaging, delivery",
}
Result = Mapping[str, Any]


def write(measured: Sequence[Result], into: Path) -> list[Path]:
    """Write the two newest runs of each shape and mode into `into` between the marks, and pictures into `plots/` beside it.

    Returns what was written. Text outside the marks is kept. Raises ValueError when there is nothing to write, or a mark is
    missing."""
    lines: list[str] = []
    drawn: list[Path] = []
    for shape, title in _SHAPES.items():
        of_shape = [result for result in measured if result.get("shape", "embedded") == shape]
        runs = {mode: _two_newest([result for result in of_shape if result["mode"] == mode]) for mode in _FIGURES}
        if runs := {mode: of for mode, of in runs.items() if of}:
            folder = into.parent / "plots" / ("" if shape == "embedded" else shape)
            pictures = plots.draw([result for of in runs.values() for run in of for result in run], folder)
            lines += [f"### {title}", "", *_lines(runs, [path.relative_to(into.parent) for path in pictures]), ""]
            drawn += pictures
    if not lines:
        raise ValueError("there are no results yet: run `make bench` first")
    old = into.read_text() if into.exists() else f"# Measurements\n\n{BEGIN}\n{END}{_SAVINGS}"
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{into} lacks the line {END if begin else BEGIN!r}: put it back, or remove the file")
    into.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"{END}{after}")
    return [into, *drawn]


def _two_newest(results: Sequence[Result]) -> list[list[Result]]:
    names = list(dict.fromkeys(result["run"] for result in results))[-2:]
    return [[result for result in results if result["run"] == name] for name in names]


def _lines(runs: Mapping[str, list[list[Result]]], drawn: Sequence[Path]) -> Iterator[str]:
    yield from _about([result for of in runs.values() for run in of for result in run])
    yield from ("", "| figure | run 1 | run 2 | spread |", "|---|---|---|---|")
    for mode, of in runs.items():
        figures = [_FIGURES[mode](run) for run in of]
        for name in dict.fromkeys(name for figure in figures for name in figure):
            yield _row(name, [figure.get(name) for figure in figures])
    for number, run in enumerate(runs.get("ladder", ()), 1):
        yield from _ladder_table(number, run)
    for path in drawn:
        yield from ("", f"![{path.stem}]({path})")
    for mode, of in runs.items():
        for result in (result for run in of for result in run if mode == "soak"):
            yield from ("", "How the visits of the soak ended:", "")
            yield from (f"- {count} x {what}" for what, count in result["outcomes"].items())
            break


def _about(results: Sequence[Result]) -> Iterator[str]:
    last = results[-1]
    yield f"{last['machine']}, {last['cpus']} CPUs for everything, generator included, {last['memory_gb']:g} GB,"
    yield f"{last['system']}."
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    yield f"Python {last['python']}, {versions}."
    dates = sorted(result["date"] for result in results)
    commits = ", ".join(dict.fromkeys(result["commit"] or "unknown" for result in results))
    yield f"Commit {commits} (`+`: with changes). Measured {dates[0][:16]} to {dates[-1][:16]} UTC."
    changed = ", ".join(f"`{name}={value}`" for name, value in last["settings"].items())
    yield f"Settings of the server that differ from the defaults: {changed or 'not known'}."


def _row(name: str, values: Sequence[float | None]) -> str:
    shown = ["-" if value is None else f"{value:,.1f}".removesuffix(".0") for value in values]
    shown += [""] * (2 - len(shown))
    return f"| {name} | {shown[0]} | {shown[1]} | {_spread(values)} |"


def _spread(values: Sequence[float | None]) -> str:
    """How far the two are apart, as a share of their mean."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    mean = sum(known) / 2
    return "0 %" if known[0] == known[1] else f"{abs(known[0] - known[1]) / abs(mean) * 100:.0f} %" if mean else ""


def _ladder_table(number: int, run: Sequence[Result]) -> Iterator[str]:
    parts = list(dict.fromkeys(part for result in run for part in result["cpu"]))
    parts.sort(key=lambda part: part == "generator")
    yield from (
        "",
        f"Ladder, run {number} ({run[0]['clients']} streams, {run[0]['seconds']:g} s a rate, seed {run[0]['seed']}):",
        "",
    )
    cpu = "".join(f" {part} µs |" for part in parts)
    yield f"| messages/s | p50 ms | p90 | p99 | p99.9 | max | delivered | missing | wrong |{cpu} cores of others | holds |"
    yield "|---" * (11 + len(parts)) + "|"
    for result in run:
        latency = " | ".join(table.ms(value) for value in result["latency_ms"].values())
        used = "".join(
            f" {result['cpu'][part]['us_per_message']:.0f} |" if part in result["cpu"] else " - |" for part in parts
        )
        counts = f"{result['delivered']} of {result['due']} | {result['missing']} | {result['wrong']}"
        busy = "-" if result.get("others_cores") is None else f"{result['others_cores']:.1f}"
        holds = "yes" if result["holds"] else "no"
        yield f"| {result['rate']:g} | {latency} | {counts} |{used} {busy} | {holds} |"


def _of_ladder(run: Sequence[Result]) -> dict[str, float | None]:
    held = [result["rate"] for result in run if result["holds"]]
    figures: dict[str, float | None] = {"one to one: highest rate that holds, messages/s": max(held, default=None)}
    for result in plots.best_attempts(run):
        if result["rate"] in (1000.0, 1500.0):
            at = f"at {result['rate']:g}/s"
            figures |= {f"{at}: p50, ms": result["latency_ms"]["p50"], f"{at}: p99, ms": result["latency_ms"]["p99"]}
            figures |= {
                f"{at}: CPU of {part}, µs a message": used["us_per_message"] for part, used in result["cpu"].items()
            }
    return figures


def _of_group(run: Sequence[Result]) -> dict[str, float | None]:
    last = run[-1]
    about = f"group of {last['members']}, {last['rate']:g} messages/s"
    figures: dict[str, float | None] = {f"{about}: deliveries/s": last["deliveries_per_second"]}
    figures |= {f"{about}: {name}, ms": last["latency_ms"][name] for name in ("p50", "p99")}
    figures |= {f"{about}: missing": last["missing"], f"{about}: wrong": last["wrong"]}
    return figures | {
        f"{about}: CPU of {part}, µs a delivery": used["us_per_delivery"] for part, used in last["cpu"].items()
    }


def _of_idle(run: Sequence[Result]) -> dict[str, float | None]:
    memory = run[-1]["memory"]
    each = {part: of["pss_kb_per_stream"] for part, of in memory.items()}
    figures: dict[str, float | None] = {f"idle stream: {part}, kB": value for part, value in each.items()}
    return figures | {f"idle stream: all of them, kB ({run[-1]['streams']} streams)": sum(each.values())}


def _of_storm(run: Sequence[Result]) -> dict[str, float | None]:
    return {f"storm: {run[-1]['streams']} streams cut, all back, s": run[-1]["all_back_s"]}


def _of_kill(run: Sequence[Result]) -> dict[str, float | None]:
    last = run[-1]
    about = f"killed at {last['rate']:g} messages/s"
    names = {"server_ready_s": "server ready, s", "all_back_s": "all back, s", "lost": "lost", "wrong": "wrong"}
    return {f"{about}: {what}": last[name] for name, what in names.items()}


def _of_soak(run: Sequence[Result]) -> dict[str, float | None]:
    return {
        f"soak, {run[-1]['connects']} connects: {part}, kB over 1,000 of them in the second half": of[
            "kb_per_1000_connects"
        ][1]
        for part, of in run[-1]["growth"].items()
    }


_FIGURES: dict[str, Callable[[Sequence[Result]], dict[str, float | None]]] = {
    "ladder": _of_ladder,
    "group": _of_group,
    "idle": _of_idle,
    "storm": _of_storm,
    "kill": _of_kill,
    "soak": _of_soak,
}

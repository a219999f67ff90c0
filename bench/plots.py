"""Pictures of measurements: latency over rate, CPU a message over rate, memory over time."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.modes.ladder import BOUND_MS

_COLOURS = {"server": "#3b6ea5", "envoy": "#e08e45", "generator": "#9a9a9a"}
_OTHERS = ("#5b9a5b", "#8d6cab", "#b5555d", "#6ca6a6", "#c9a227", "#7f6a55")
_DPI = 130
Result = Mapping[str, Any]


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """The pictures that these measurements allow; returns their paths."""
    ladder = [result for result in results if result["mode"] == "ladder"]
    soaks = [result for result in results if result["mode"] == "soak"]
    figures: dict[str, Figure] = {}
    if ladder:
        figures["latency.png"] = _latency(ladder)
        if any(len(result["cpu"]) > 1 for result in ladder):
            figures["cpu.png"] = _cpu(ladder)
    if soaks:
        figures["memory.png"] = _memory(soaks[-1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=_DPI)
    return [folder / name for name in figures]


def best_attempts(ladder: Iterable[Result]) -> list[Result]:
    """One measurement a run and rate: the one that holds, else the first."""
    best: dict[tuple[str, float], Result] = {}
    for result in ladder:
        key = result["run"], result["rate"]
        if key not in best or (result["holds"] and not best[key]["holds"]):
            best[key] = result
    return list(best.values())


def _latency(ladder: Sequence[Result]) -> Figure:
    figure, axes = _figure("Latency from the intended send to the delivery, one to one, through Envoy", ladder[-1])
    ladder = best_attempts(ladder)
    runs = [list(of) for _, of in groupby(ladder, key=lambda result: result["run"])]
    for number, run in enumerate(runs):
        rates = [result["rate"] for result in run]
        solid = number == len(runs) - 1
        for name, colour in (("p50", _COLOURS["server"]), ("p99", "#b5555d")):
            values = [result["latency_ms"][name] for result in run]
            label = f"{name}" + ("" if len(runs) == 1 else f", run {number + 1}")
            axes.plot(
                rates, values, color=colour, alpha=1.0 if solid else 0.45, linestyle="-" if solid else "--", label=label
            )
            for result, value in zip(run, values, strict=True):
                face = colour if result["holds"] else "white"
                axes.plot(result["rate"], value, "o", color=colour, markerfacecolor=face, alpha=1.0 if solid else 0.45)
    axes.axhline(BOUND_MS, color="#444444", linewidth=0.8, linestyle=":", label=f"{BOUND_MS:g} ms, the bound")
    axes.plot([], [], "o", color="#444444", markerfacecolor="white", linestyle="", label="does not hold")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("messages a second")
    axes.set_ylabel("latency in ms (log scale)")
    axes.set_xlim(left=0)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    return figure


def _cpu(ladder: Sequence[Result]) -> Figure:
    figure, axes = _figure("CPU a message, one to one (user and system)", ladder[-1])
    last = [result for result in best_attempts(ladder) if result["run"] == ladder[-1]["run"] and len(result["cpu"]) > 1]
    parts = sorted(
        {part for result in last for part in result["cpu"]}, key=lambda part: (part == "generator", part != "server")
    )
    colours = _colours(parts)
    places = range(len(last))
    bottom = [0.0] * len(last)
    for part in parts:
        values = [result["cpu"].get(part, {"us_per_message": 0.0})["us_per_message"] for result in last]
        axes.bar(places, values, bottom=bottom, color=colours[part], label=part, width=0.65)
        for place, value, low in zip(places, values, bottom, strict=True):
            axes.annotate(f"{value:.0f}", (place, low + value / 2), ha="center", va="center", color="white", fontsize=8)
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    axes.set_xticks(
        list(places), [f"{result['rate']:g}" + ("" if result["holds"] else "\n(does not hold)") for result in last]
    )
    axes.set_xlabel("messages a second")
    axes.set_ylabel("µs of CPU a message")
    axes.grid(visible=True, axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    return figure


def _memory(soak: Result) -> Figure:
    samples = soak["samples"]
    parts = list(samples[0]["rss_kb"])
    figure = Figure(figsize=(9, 1.2 + 2.6 * len(parts)), layout="constrained")
    colours = _colours(parts)
    for number, part in enumerate(parts, 1):
        axes = figure.add_subplot(len(parts), 1, number)
        axes.set_xlabel("seconds (shaded: quiet)" if number == len(parts) else "")
        kept = [sample for sample in samples if part in sample["rss_kb"]]
        axes.plot([s["s"] for s in kept], [s["rss_kb"][part] / 1000 for s in kept], color=colours[part])
        _shade(axes, samples)
        growth = soak["growth"][part]
        first, second = growth["kb_per_1000_connects"]
        axes.set_title(
            f"{part}: {first:+.0f} kB over 1,000 connects in the first half, {second:+.0f} in the second",
            fontsize=10,
            loc="left",
        )
        axes.set_ylabel("RSS in MB")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.25)
    figure.suptitle(f"Memory while {soak['connects']} clients come and go   {_where(soak)}", fontsize=10)
    return figure


def _shade(axes: Axes, samples: Sequence[Mapping[str, Any]]) -> None:
    for phase, of in groupby(samples, key=lambda sample: sample["phase"]):
        span = list(of)
        if phase.startswith("quiet"):
            axes.axvspan(span[0]["s"], span[-1]["s"], color="#444444", alpha=0.1, linewidth=0)


def _figure(title: str, result: Result) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"{title}\n{_where(result)}", fontsize=10)
    return figure, axes


def _where(result: Result) -> str:
    return f"{result['machine']}, {result['cpus']} CPUs for everything, commit {result['commit']}"


def _colours(parts: Iterable[str]) -> dict[str, str]:
    others = iter(_OTHERS * 3)
    return {part: _COLOURS.get(part) or next(others) for part in parts}

"""The command as somebody runs it: what it prints, keeps and leaves behind."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

SECONDS = 90.0


def bench(*arguments: str) -> list[str]:
    """Its command line."""
    return [sys.executable, "-m", "svc", "bench", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(bench(*arguments), capture_output=True, text=True, check=False, timeout=SECONDS)


def test_a_ladder_prints_a_line_keeps_everything_and_draws(tmp_path: Path):
    kept = tmp_path / "out" / "results.jsonl"
    done = run("ladder", "--rates", "30", "--seconds", "1", "--warm-up", "0.5", "--clients", "4", "--json", str(kept))
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in kept.read_text().splitlines()]
    assert done.stdout.splitlines()[0].startswith("ladder     30/s")
    assert str(kept) in done.stdout
    assert "CALLS_PER_SECOND=1000000" in done.stderr
    for result in results:
        assert (result["mode"], result["lost"], result["schedule"]) == ("ladder", 0, "poisson")
        assert {"machine", "cpus", "python", "versions", "commit", "run", "date", "settings"} <= set(result)
    assert {path.name for path in kept.parent.iterdir()} == {"results.jsonl", "latency.png", "cpu.png"}

    page = tmp_path / "RESULTS.md"
    assert run("report", "--json", str(kept), "--into", str(page)).returncode == 0
    assert "Ladder, run 1" in page.read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_when_it_is_ended_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, code: int):
    arguments = (
        "ladder",
        "--rates",
        "20",
        "--seconds",
        "60",
        "--clients",
        "4",
        "--json",
        str(tmp_path / "results.jsonl"),
    )
    with subprocess.Popen(bench(*arguments), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        assert any("20 messages/s" in line for line in process.stderr)
        started = psutil.Process(process.pid).children(recursive=True)
        assert {"envoy"} <= {child.name() for child in started}
        process.send_signal(number)
        assert process.wait(SECONDS) == code
    _, alive = psutil.wait_procs(started, timeout=SECONDS)
    assert alive == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ladder", "--server", "http://127.0.0.1:1"), "http://127.0.0.1:1 refused or did not answer: UNAVAILABLE"),
        (("kill", "--server", "http://127.0.0.1:1"), "leave out --server"),
        (("idle", "--server", "http://127.0.0.1:1"), "give --pid"),
        (("report", "--json", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, arguments: Sequence[str], said: str):
    kept = () if "report" in arguments else ("--json", str(tmp_path / "results.jsonl"))
    done = run(*arguments, *kept)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("bench: ")
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("ladder", "--rates", "0"),
        ("ladder", "--rates", "10,x"),
        ("group", "--clients", "0"),
        ("kill", "--rate", "inf"),
        ("storm", "--server", "127.0.0.1:80"),
        ("storm", "--server", "https://127.0.0.1:80"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: Sequence[str]):
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr

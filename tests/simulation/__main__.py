"""Run schedules: `python -m tests.simulation --schedules 1000`, or one with `--scenario X --seed N --trace`.

`--mutations` breaks the real core on purpose, in one way after the other, and says what noticed it.
"""

import argparse
import gc
import os
import sys
import time
from collections import Counter
from contextlib import nullcontext

from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.run import Result, quiet, run_schedule
from tests.simulation.scenarios import SCENARIOS, WEIGHTED

MUTATION_SCHEDULES = 600


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="only this one (default: all, by their weight)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--step", type=int, default=1, help="from seed to seed: several workers share the seeds")
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--trace", action="store_true", help="print every step")
    parser.add_argument("--keep-going", action="store_true", help="count violations instead of stopping at the first")
    parser.add_argument("--mutations", action="store_true", help="run all mutations")
    parser.add_argument("--mutation", choices=sorted(MUTATIONS), help="run with the real core broken in this way")
    return parser.parse_args()


def show(result: Result) -> None:
    """A violation, with its schedule and how to see it again."""
    again = run_schedule(result.scenario, result.seed, tracing=True)
    print(f"VIOLATED in scenario {result.scenario}, seed {result.seed}: {result.violation}")
    print("\n".join(again.lines[-60:]))
    print(f"\nAgain, from the first step on:  {result.command}")


def main() -> int:
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets is part of a schedule.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    options = arguments()
    gc.disable()
    with quiet():
        if options.mutations:
            return mutate()
        with MUTATIONS[options.mutation].apply() if options.mutation else nullcontext():
            return one(options) if options.seed is not None else many(options)


def one(options: argparse.Namespace) -> int:
    result = run_schedule(options.scenario or "everything", options.seed, options.trace)
    if options.trace:
        print("\n".join(result.lines))
    print(f"{result.scenario} {result.seed}: {result.violation or 'clean'} {result.answers}, {result.seconds:.1f} s")
    return 1 if result.violation else 0


def many(options: argparse.Namespace) -> int:
    began, answers, violations = time.monotonic(), Counter[str](), Counter[str]()
    first: dict[str, Result] = {}
    seconds = 0.0
    names = [options.scenario] if options.scenario else WEIGHTED
    for number in range(options.schedules):
        seed = options.first + number * options.step
        result = run_schedule(names[seed % len(names)], seed)
        answers.update(result.answers)
        seconds += result.seconds
        if result.violation is not None:
            violations[result.violation.invariant] += 1
            first.setdefault(result.violation.invariant, result)
            if not options.keep_going:
                show(result)
                return 1
        if number % 50 == 49:
            gc.collect()
        if number % 500 == 499:
            progress(number + 1, began)
    progress(options.schedules, began)
    print(f"answers {dict(answers)}; {seconds:.0f} s of virtual time")
    for name, count in violations.most_common():
        print(f"{count} times {name}: {first[name].violation}\n    {first[name].command}")
    return 1 if violations else 0


def mutate() -> int:
    """The table: what is broken, which invariant noticed it, after how many schedules. Unbroken, the same seeds are clean."""
    missed, seeds = 0, Counter[str]()
    for name, mutation in MUTATIONS.items():
        with mutation.apply():
            scenario, result, needed = caught(mutation)
        if result is None or result.violation is None:
            missed += 1
            print(f"MISSED  {name}: {mutation.says}", flush=True)
            continue
        for used in mutation.scenarios:
            seeds[used] = max(seeds[used], result.seed + 1)
        print(f"{needed:4} schedules  {name}: {mutation.says} -> {scenario}: {result.violation.invariant}", flush=True)
    unclean = [run_schedule(scenario, seed) for scenario, count in seeds.items() for seed in range(count)]
    for result in unclean:
        if result.violation is not None:
            missed += 1
            print(f"NOT CLEAN without a mutation: {result.command}: {result.violation}")
    print(f"{len(MUTATIONS)} mutations, {missed} missed; the same {len(unclean)} schedules unbroken")
    return 1 if missed else 0


def caught(mutation: Mutation) -> tuple[str, Result | None, int]:
    """The first schedule that finds it."""
    for number in range(MUTATION_SCHEDULES):
        scenario = mutation.scenarios[number % len(mutation.scenarios)]
        result = run_schedule(scenario, number)
        if number % 50 == 49:
            gc.collect()
        if result.violation is not None:
            return scenario, result, number + 1
    return "", None, MUTATION_SCHEDULES


def progress(done: int, began: float) -> None:
    taken = time.monotonic() - began
    print(f"{done} schedules, {done / taken * 60:.0f} a minute", flush=True)


if __name__ == "__main__":
    sys.exit(main())

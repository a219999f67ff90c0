"""Runs the conformance suite against a product of its own and writes the table in the README (`make conformance`).

Nothing is written unless all is green. The README has the output of `stonechat conformance --markdown` between two markers.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mesh.product import product

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- conformance: written by `make conformance`, compared with the suite by tests/conformance -->\n"
END = "<!-- end of conformance -->\n"
_LONGEST_SECONDS = 1200.0


def written(readme: str, table: str) -> str:
    """The README with another table. Raises ValueError when it has no place for one."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the table: {BEGIN}")
    return f"{before}{BEGIN}{table}{END}{after}"


def main() -> int:
    """Returns the exit code of the suite."""
    with tempfile.TemporaryDirectory() as folder, product(Path(folder)) as running:
        command = [sys.executable, "-m", "svc", "conformance", running.url, "--markdown"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_LONGEST_SECONDS, check=False)
    if done.returncode:
        print(done.stdout)
        return done.returncode
    README.write_text(written(README.read_text(), done.stdout))
    print("The table in README.md is up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

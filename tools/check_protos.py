"""Judge the contracts: `python -m tools.check_protos` runs `buf lint` and `buf breaking` with the rules in buf.yaml.

"Breaking" is against `protos/released.binpb`, the contracts as they were last released. A committed file, because the
answer must be the same in a shallow clone, in an archive and on a branch. At each release:
`cp gen/stonechat/descriptors.binpb protos/released.binpb`. While there is none, nothing has been promised yet.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.contracts import PROTOS, ROOT, SCRIPTS, contracts, protoc

RELEASED = PROTOS / "released.binpb"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image.binpb")
        protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={image}", *contracts())
        passed = buf("lint", str(image))
        if RELEASED.exists():
            passed &= buf("breaking", str(image), "--against", str(RELEASED))
        else:
            print("Nothing is released yet, so nothing can break.")
    return 0 if passed else 1


def buf(*arguments: str) -> bool:
    """Run buf, which prints what it finds under paths relative to protos/."""
    return subprocess.run([Path(SCRIPTS, "buf"), *arguments, "--config", ROOT / "buf.yaml"]).returncode == 0


if __name__ == "__main__":
    sys.exit(main())

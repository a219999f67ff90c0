"""Generate gen/ from protos/: `python -m tools.gen`; with `--check`, only say whether gen/ is what would be generated.

Messages become `_pb2.py` with `.pyi`; `*_service.proto` also become `_pb2_grpc.py` with `.pyi` for grpc.aio.
`gen/stonechat/descriptors.binpb` is the whole contract with all it imports, for those that work from descriptors
(JSON transcoding at the edge); read it with `importlib.resources.files("stonechat") / "descriptors.binpb"`.
"""

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

from tools.contracts import ROOT, VALIDATION, contracts, protoc

GEN = ROOT / "gen"


def generate(out: Path) -> None:
    """Write everything into the empty folder `out`. The same contracts give the same bytes."""
    names = contracts()
    services = [name for name in names if name.endswith("_service.proto")]
    out.joinpath("stonechat").mkdir(parents=True)
    protoc(f"--python_out={out}", f"--pyi_out={out}", VALIDATION, *names)
    protoc(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet,only_async:{out}", *services)
    protoc("--include_imports", f"--descriptor_set_out={out / 'stonechat' / 'descriptors.binpb'}", *names)
    for module in list(out.rglob("*_pb2.py")):
        for package in module.relative_to(out).parents[:-1]:
            out.joinpath(package, "__init__.py").touch()


def stale() -> list[str]:
    """The paths in gen/ that are missing, left over or different from what would be generated, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, "gen")
        generate(fresh)
        paths = _files(fresh) | _files(GEN)
        _, different, absent = filecmp.cmpfiles(fresh, GEN, paths, shallow=False)
        return sorted(different + absent)


def _files(root: Path) -> set[str]:
    found = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(root).as_posix() for path in found}


def main() -> int:
    if "--check" in sys.argv[1:]:
        for path in (paths := stale()):
            print(f"gen/{path} is not what protos/ says: run `make gen` and commit the result", file=sys.stderr)
        return 1 if paths else 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, "gen")
        generate(fresh)
        shutil.rmtree(GEN, ignore_errors=True)
        shutil.copytree(fresh, GEN)
    return 0


if __name__ == "__main__":
    sys.exit(main())

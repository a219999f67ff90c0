"""Which contracts there are, and how protoc is called on them: offline, from installed wheels alone.

Where imports are found: `stonechat/` in protos/; `google/api` and `google/rpc` in the googleapis-common-protos wheel;
`google/protobuf` in the grpcio-tools wheel. The protovalidate wheel ships `buf/validate/validate.proto` only as a
compiled descriptor, so protoc gets it as a descriptor set.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
VALIDATION = "buf/validate/validate.proto"
SCRIPTS = sysconfig.get_path("scripts")


def contracts() -> list[str]:
    """Every contract by the name under which the others import it, sorted."""
    return sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))


def protoc(*arguments: str) -> None:
    """Run protoc, which prints what it dislikes; a failure raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder, "validation.binpb")
        rules.write_bytes(_validation_rules())
        roots = [f"-I{PROTOS}", f"-I{sysconfig.get_path('purelib')}", f"--descriptor_set_in={rules}"]
        # Plugins are looked up by name on PATH.
        environment = os.environ | {"PATH": SCRIPTS + os.pathsep + os.environ.get("PATH", os.defpath)}
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *roots, *arguments], check=True, env=environment)


def _validation_rules() -> bytes:
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        files.file.add().MergeFromString(module.DESCRIPTOR.serialized_pb)
    files.file.add().MergeFromString(validate_pb.desc().proto.to_binary())
    return files.SerializeToString(deterministic=True)

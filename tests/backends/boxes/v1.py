"""All of them, as they are today."""

from tests.backends.boxes import METADATA

revision = "1"
down_revision = None


def upgrade(op):
    METADATA.create_all(op.get_bind())

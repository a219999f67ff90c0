#!/bin/sh
# Real back ends of the bench's own, measured in both shapes, and gone again.
set -eu
cd "$(dirname "$0")/.."
BACKENDS_DIR=$(mktemp -d)
export BACKENDS_DIR BACKENDS_HOST="${BACKENDS_HOST:-127.14.0.1}"
trap 'backends/run stop; rm -rf "$BACKENDS_DIR"' EXIT
backends/run start kafka cassandra mariadb redis zookeeper
settings=$(backends/run env)
eval "$settings"
.venv/bin/python -m bench all
.venv/bin/python -m bench all --spread

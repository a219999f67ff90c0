#!/bin/sh
# Make .venv with the first Python on this machine that is new enough; say what to install if there is none.
for python in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "Making .venv with $("$python" --version) …"
        "$python" -m venv .venv && exit 0
        rm -rf .venv
        echo "Cannot make .venv with $python. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
done
echo "Stonechat needs Python 3.11 or newer. Found: $(python3 --version 2>&1). Name another with: make PYTHON=/path/to/python3.11 …" >&2
exit 1

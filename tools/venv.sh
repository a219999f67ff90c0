#!/bin/sh
# Make .venv with the first Python on this machine that is new enough; say what to install if there is none.
found=
for python in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    version=$("$python" --version 2>/dev/null) || continue
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "Making .venv with $version …"
        "$python" -m venv .venv && exit 0
        rm -rf .venv
        echo "$python cannot make .venv; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
    found="$found $python is $version."
done
echo "Stonechat needs Python 3.11 or newer.${found:- Found none.} Name one with: make PYTHON=/path/to/python3.11 …" >&2
exit 1

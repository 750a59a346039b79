#!/usr/bin/env bash
# Usage: venv.sh PYTHON DIR REQUIREMENTS — a virtual environment with exactly those packages, and DIR/.done.
set -euo pipefail
python=$1 dir=$2 requirements=$3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "slipway: $python is older than 3.11; name a newer one: make PYTHON=/path/to/python3.11" >&2
    exit 1
}
mkdir -p "$(dirname "$dir")"
exec 9>"$dir.lock"
flock 9
# Another make, started beside this one, may have just made it.
[ -e "$dir/.done" ] && [ ! "$requirements" -nt "$dir/.done" ] && exit
echo "slipway: installing the pinned tools into $dir (about a minute, once)"
if ! "$python" -m venv "$dir" >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "slipway: $python cannot make a virtual environment; install its venv package (Debian: python3-venv)" >&2
        exit 1
    fi
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null
    "$python" -m venv "$dir"
fi
"$dir/bin/pip" install --quiet --requirement "$requirements"
touch "$dir/.done"

#!/usr/bin/env bash
# Usage: sanity.sh DIR — `ansible-test sanity` on a copy of the checkout laid out as ansible-test wants it.
set -euo pipefail
dir=$1
lab=$(cd "$(dirname "$0")" && pwd)
python "$lab/collections_path.py" "$dir" --copy

# pyenv's shims offer every version and fail for those not selected: put the interpreters themselves before them.
if command -v pyenv >/dev/null; then
    own=$(dirname "$(command -v ansible-test)")
    PATH="$own:$(printf '%s:' "$(pyenv root)"/versions/3.*/bin)$PATH"
fi

# ansible-test fetches a pip of its own from a web address. Where only a package index answers, this stand-in,
# placed where its cache would be, does the same with the pip that Python brings along.
export HOME="$dir/home"
cache="$HOME/.ansible/test/cache"
mkdir -p "$cache"
for name in get_pip_20_3_4.py get_pip_21_3_1.py get_pip_24_2.py get_pip_25_2.py; do
    cp "$lab/get_pip_offline.py" "$cache/$name"
done

cd "$dir/ansible_collections/slipway/go"
git init -q . 2>/dev/null && git add -A >/dev/null
exec ansible-test sanity --local --color no "${@:2}"

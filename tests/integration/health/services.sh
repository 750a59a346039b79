#!/usr/bin/env bash
# Usage: services.sh DIR — unpack real services from Debian packages into DIR; installs and starts nothing.
set -euo pipefail
dir=$1
[ -e "$dir/.done" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
    echo "slipway: no apt here: the tests against real services need a Debian or Ubuntu machine" >&2
    exit 3
}
mkdir -p "$dir/debs" "$dir/root"
cd "$dir/debs"
apt-get -qq update
# The libraries are those of redis and nginx that a minimal machine lacks.
apt-get -qq -o APT::Sandbox::User=root download \
    prometheus-node-exporter prometheus caddy nginx redis-server redis-tools \
    libjemalloc2 liblua5.1-0 liblzf1 lua-cjson lua-bitop libatomic1
for deb in *.deb; do
    dpkg -x "$deb" "$dir/root"
done
touch "$dir/.done"

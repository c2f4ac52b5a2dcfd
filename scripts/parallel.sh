#!/usr/bin/env bash
# Sees to it that this machine has GNU parallel, curl and jq, of which the benchmark makes one of its contenders.
set -euo pipefail
. "$(dirname "$0")/package.sh"

# Debian's moreutils has another parallel.
has_tools() { has curl && has jq && has parallel && parallel --version 2>/dev/null | grep -q '^GNU parallel'; }

give_up() {
  cat >&2 <<MESSAGE
scripts/parallel.sh: GNU parallel, curl or jq is missing on this machine, and none was installed: $1.
The benchmark measures a script of these three beside reshoot: apt-get install parallel curl jq, dnf install parallel curl jq,
apk add parallel curl jq or brew install parallel curl jq. reshoot itself runs without.
MESSAGE
  exit 2
}

if has_tools; then exit 0; fi
install_package 'The benchmark needs GNU parallel, curl and jq.' 'parallel curl jq' 'dnf install -y parallel curl jq' \
  'parallel curl jq' 'parallel curl jq'
has_tools || give_up "the installation brought not all of them: $install"
echo 'GNU parallel, curl and jq are installed.' >&2

#!/usr/bin/env bash
# Sees to it that this machine has redis-server or valkey-server, which reshoot starts privately for each user.
set -euo pipefail

has() { command -v "$1" >/dev/null 2>&1; }
has_server() { has redis-server || has valkey-server; }

give_up() {
  cat >&2 <<MESSAGE
scripts/redis.sh: no redis-server on this machine, and none was installed: $1.
Three ways out:
  - install the package: apt-get install redis-server, dnf install redis, apk add redis or brew install redis
  - to run reshoot only: docker compose up -d redis, then export REDIS_URL=redis://127.0.0.1:6379
  - to run reshoot only: export REDIS_URL=redis://… of a Redis that runs elsewhere
MESSAGE
  exit 2
}

if has_server; then exit 0; fi

if has apt-get; then install='apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server'
elif has dnf; then install='dnf install -y redis || dnf install -y valkey'
elif has apk; then install='apk add redis'
elif has brew; then install='brew install redis'
else give_up 'this script knows apt-get, dnf, apk and brew only'
fi

root=$([ "$(id -u)" = 0 ] && echo yes || echo no)
as_root=()
if [[ $install == brew* ]]; then
  if [ "$root" = yes ]; then give_up 'brew does not work as root'; fi
elif [ "$root" = no ]; then
  if ! has sudo; then give_up "that takes root, and there is no sudo: $install"; fi
  as_root=(sudo)
fi

if [ "$root" = no ]; then
  if ! [ -t 0 ]; then give_up "nobody can be asked, for there is no terminal: $install"; fi
  read -r -p "reshoot needs redis-server. Install it now (${as_root[*]:+with sudo: }$install)? [Y/n] " answer || answer=no
  if [[ ! $answer =~ ^([Yy].*)?$ ]]; then give_up 'you said no'; fi
fi

echo "Installing redis-server: $install" >&2
# The ${…+…} is for macOS, whose old bash calls an empty array unbound.
run() { ${as_root[@]+"${as_root[@]}"} "$@" >&2; }
run sh -c "$install" || give_up "the installation failed: $install"
hash -r
has_server || give_up "the installation brought neither redis-server nor valkey-server: $install"

# Debian makes the package a service on port 6379, and starts it. Nobody asked for that.
if [[ $install == apt-get* ]]; then
  if [ -d /run/systemd/system ]; then
    run systemctl disable --now redis-server || true
  elif [ -e /run/redis/redis-server.pid ]; then
    run service redis-server stop || true
  fi
fi
echo 'redis-server is installed; reshoot starts its own private one when it needs it.' >&2

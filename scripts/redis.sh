#!/usr/bin/env bash
# Sees to it that this machine has redis-server or valkey-server, which reshoot starts privately for each user.
set -euo pipefail
. "$(dirname "$0")/package.sh"

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
install_package 'reshoot needs redis-server.' redis-server 'dnf install -y redis || dnf install -y valkey' redis redis
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

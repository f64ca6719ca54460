# shellcheck shell=bash
# What every script here shares: where things are, how progress is told, how a condition is awaited.

# shellcheck source=versions.env
source "$HERE/versions.env"

CACHE=${ZONETIDE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zonetide}   # what is built, kept between runs
STATE=${ZONETIDE_CLUSTER_STATE:-/var/lib/zonetide-cluster}          # certificates, etcd, containers, volumes
BIN=$CACHE/bin
LOGS=$CACHE/log
mkdir -p "$BIN" "$LOGS"

say() { echo "[$(date +%H:%M:%S)] $*" >&2; }
die() { echo "error: $*" >&2; exit 1; }

# timed WHAT COMMAND...: run it, then say how long it took.
timed() {
  local what=$1 started=$SECONDS outer=$DOING; shift
  say "$what ..."
  DOING=$what
  "$@"     # not in a condition, where bash would go on after errors inside
  DOING=$outer
  say "$what: $((SECONDS - started))s"
}
DOING=""
trap 'rc=$?; if ((rc)) && [ -n "$DOING" ]; then say "FAILED: $DOING"; fi' EXIT

# logged NAME WHAT COMMAND...: run a long command with its output in a log, a line of progress every
# 20 seconds, and the log's end when it fails.
logged() {
  local log=$LOGS/$1.log what=$2 started=$SECONDS pid; shift 2
  say "$what ..."
  "$@" >"$log" 2>&1 </dev/null & pid=$!
  local next=$((SECONDS + 20))
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS >= next)); then
      say "  $what: $((SECONDS - started))s  $(tail -c 300 "$log" | tr '\r' '\n' | tail -n 1 | cut -c 1-90)"
      next=$((SECONDS + 20))
    fi
  done
  local rc=0; wait "$pid" || rc=$?
  if ((rc)); then
    tail -n 40 "$log" >&2
    say "$what: FAILED after $((SECONDS - started))s, all of its output is in $log"
    return "$rc"
  fi
  say "$what: $((SECONDS - started))s"
}

# wait_until SECONDS WHAT COMMAND...: until the command succeeds; says what it waits for every 10 seconds.
# ON_TIMEOUT, if set, names a function that shows what may be wrong.
wait_until() {
  local limit=$1 what=$2 started=$SECONDS next=$((SECONDS + 10)); shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS - started >= limit)); then
      say "gave up waiting for $what after ${limit}s: $*"
      if [ -n "${ON_TIMEOUT:-}" ]; then "$ON_TIMEOUT"; fi
      return 1
    fi
    if ((SECONDS >= next)); then say "  waiting for $what ($((SECONDS - started))s)"; next=$((SECONDS + 10)); fi
    sleep 0.5
  done
}

docker_answers() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }

# One build at a time in the cache; the lock is freed when the script ends, however it ends.
lock_cache() {
  exec 9>"$CACHE/lock"
  flock -n 9 || { say "waiting for another run that builds in $CACHE"; flock 9; }
}

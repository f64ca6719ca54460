#!/bin/bash
# Everything that `make test` promises, one step after the other; a step that fails does not keep others from
# being run, unless they need it. The last line counts the tests of all runs; a step that failed without
# having run a test counts as one failed.
#
# With ZONETIDE_TEST_DOWN=1 the cluster is taken away before the summary.
set -uo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE/../.." || exit 1
OUT=$(mktemp -d)
export ZONETIDE_STEPS=$OUT/steps
trap 'rm -rf "$OUT"' EXIT
started=$SECONDS passed=0 failed=0 skipped=0

# What a whole run takes, GiB: mostly what cargo builds, and images. Where it is not there steps fail in odd ways.
NEEDED=25
free=$(df --block-size=1G --output=avail . | tail -n 1)
little_room=
if ((free < NEEDED)); then little_room="warning: ${free} GiB are free on this disk, and a whole run takes up to $NEEDED: make room where steps fail for it"; fi
if [ -n "$little_room" ]; then echo "$little_room" >&2; fi

# The number before a word in the summaries that nextest wrote into a log.
count() { grep -E 'Summary \[.*tests? run:' "$1" | grep -oE "[0-9]+ $2" | awk '{n += $1} END {print n + 0}'; }

# step TARGET: run make TARGET, and count what nextest says.
step() {
  local log=$OUT/$1.log rc p f s
  make --no-print-directory "$1" 2>&1 | tee "$log"
  rc=${PIPESTATUS[0]}
  p=$(count "$log" passed)
  f=$(($(count "$log" failed) + $(count "$log" 'timed out')))
  s=$(count "$log" skipped)
  if ((rc && f == 0)); then f=1; fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  return "$rc"
}

step tools
step check
step unit
step cluster-up && step images && step test-images && step install-only && step run-e2e
if [ "${ZONETIDE_TEST_DOWN:-}" = 1 ]; then "$HERE/cluster.sh" down --wipe; fi

echo
echo "Steps"
awk -F '\t' '{printf "  %-18s %-12s %5ds\n", $1, $2, $3}' "$ZONETIDE_STEPS"
printf '  %-18s %-12s %5ds\n\n' "all" "" "$((SECONDS - started))"
if ((failed > 0)) && [ -n "$little_room" ]; then echo "$little_room"; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]

#!/bin/bash
# step.sh NAME COMMAND...: run a step, and say how it ended and how long it took. With ZONETIDE_STEPS naming
# a file, a line about it is added there as well.
set -uo pipefail
name=$1; shift
bold="" plain=""
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
echo "${bold}==> $name${plain}"
started=$SECONDS
"$@"
rc=$?
result=ok
if ((rc)); then result="FAILED ($rc)"; fi
echo "${bold}<== $name: $result, $((SECONDS - started))s${plain}"
if [ -n "${ZONETIDE_STEPS:-}" ]; then printf '%s\t%s\t%s\n' "$name" "$result" "$((SECONDS - started))" >>"$ZONETIDE_STEPS"; fi
exit "$rc"

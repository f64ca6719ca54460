#!/bin/bash
# fuzz.sh SECONDS [TARGET...]: let each fuzzer of this folder, or those that are named, run for so long.
#
# New inputs gather in the cache and are used again in the next run. To put those that reach something new into the
# corpus of the repository: fuzz.sh keep [TARGET...]. What broke a target is in artifacts/TARGET; it belongs into the
# corpus as well, under a name that says what it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
CACHE=${ZONETIDE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zonetide}
PATH=$CACHE/bin:$PATH
LONGEST=8192   # of an input, bytes

seconds=${1:?usage: fuzz.sh SECONDS|keep [TARGET...]}; shift
targets=("$@")
if [ $# -eq 0 ]; then targets=(snapshot object_name segment rrset value_header configuration); fi

# Link-time optimisation makes the build long and the fuzzers no better.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_STRIP=none CARGO_INCREMENTAL=0
# The sanitizer holds freed memory back to see who still uses it: little of it, or it hides what the code itself takes.
export ASAN_OPTIONS=quarantine_size_mb=8

fuzz() {
  local target=$1; shift
  cargo +nightly fuzz run --fuzz-dir agent/fuzz --target-dir "$CACHE/target/fuzz" --features libfuzzer \
    --debug-assertions "$target" "$@"
}

for target in "${targets[@]}"; do
  ours=agent/fuzz/corpus/$target found=$CACHE/fuzz/$target
  mkdir -p "$found"
  if [ "$seconds" = keep ]; then
    fuzz "$target" "$ours" "$found" -- -merge=1 -max_len="$LONGEST"
  else
    fuzz "$target" "$found" "$ours" -- -max_total_time="$seconds" -max_len="$LONGEST" -rss_limit_mb=512 \
      -timeout=10 -print_final_stats=1
  fi
done

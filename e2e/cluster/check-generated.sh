#!/bin/bash
# Fails when the CRD's YAML is not what the Rust types make; leaves the right files behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
sums() { find crds charts -name '*.yaml' -exec sha256sum {} + | sort; }
before=$(sums)
cargo run --locked --quiet --package zonetide-crds --bin crdgen >/dev/null
if [ "$before" != "$(sums)" ]; then
  echo "generated files were out of date; they are right now, commit them:" >&2
  diff <(echo "$before") <(sums) | sed -n 's/^> [0-9a-f]*/ /p' >&2
  exit 1
fi

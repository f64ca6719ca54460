#!/bin/bash
# The chart renders, and refuses a value that it does not know.
set -euo pipefail
cd "$(dirname "$0")/../.."
# A Helm built without its release flags takes Kubernetes for a version that the chart refuses.
render() { helm template zonetide charts/zonetide --namespace zonetide-system --kube-version 1.33.0 "$@" >/dev/null; }
render
render --set image.repository=registry.test/operator --set image.tag=dev --set agent.image=registry.test/agent:dev \
  --set powerdns.image=registry.test/powerdns:dev
render --set watchNamespace=dns --set metrics.service=true --set crds.install=false --set replicas=2
if render --set noSuchValue=1 2>/dev/null; then
  echo "charts/zonetide/values.schema.json lets an unknown value pass" >&2
  exit 1
fi

#!/bin/bash
# The chart renders, refuses a value that it does not know, and lets the operator make Ingresses only where it is to.
set -euo pipefail
cd "$(dirname "$0")/../.."
# A Helm built without its release flags takes Kubernetes for a version that the chart refuses.
render() { helm template zonetide charts/zonetide --namespace zonetide-system --kube-version 1.33.0 "$@"; }
fail() { echo "$*" >&2; exit 1; }
render >/dev/null
render --set image.repository=registry.test/operator --set image.tag=dev --set agent.image=registry.test/agent:dev \
  --set 'powerdns.images.5\.1=registry.test/powerdns:dev' >/dev/null
render --set watchNamespace=dns --set metrics.service=true --set crds.install=false --set replicas=2 >/dev/null
refused() {
  if render "$@" >/dev/null 2>&1; then fail "charts/zonetide/values.schema.json lets a wrong value pass: $*"; fi
}
refused --set noSuchValue=1
refused --set powerdns.image=registry.test/powerdns:dev
{ render --set powerdns.image=registry.test/powerdns:dev 2>&1 || true; } | grep -qF 'powerdns.images."4.9"' ||
  fail "the chart does not say where powerdns.image has gone"
refused --set 'expose.domains={*.example.org}'
refused --set proxy.url=http://user:password@proxy.test
refused --set proxy.url=http://proxy.test --set proxy.secretName=proxy

! render | grep -q 'ZONETIDE_STORE_PROXY\|HTTPS\?_PROXY' || fail "the operator has a proxy that nobody has named"
for proxy in url=http://proxy.test:3128 secretName=proxy; do
  rendered=$(render --set "proxy.$proxy" --set 'proxy.noProxy=a\,b')
  for line in ZONETIDE_STORE_PROXY "${proxy#*=}" 'value: "a,b"'; do
    grep -qF "$line" <<<"$rendered" || fail "the chart does not hand on proxy.$proxy: no $line"
  done
  # The client of the API server could find these.
  ! grep -q '[^_]HTTPS\?_PROXY' <<<"$rendered" || fail "a proxy is in a variable of all programs"
done

render | grep -A 3 'resources: \[persistentvolumeclaims\]' | grep -qF 'verbs: [list, patch, delete]' ||
  fail "the operator has other rights to PersistentVolumeClaims than it needs"

verbs_of() { render | grep -A 1 "resources: \[$1\]" | sed -n 's/.*verbs: //p'; }
if [ "$(verbs_of dnsrestores)" != "[get, list, watch]" ] || [ "$(verbs_of dnsrestores/status)" != "[patch]" ]; then
  fail "the operator has other rights to DnsRestores than it needs"
fi
with=$(render) without=$(render --set crds.install=false)
for kind in dnsclusters dnsrestores; do
  grep -qF "name: $kind.zonetide.dev" <<<"$with" || fail "the chart brings no definition of $kind"
  ! grep -qF "name: $kind.zonetide.dev" <<<"$without" || fail "the chart brings $kind though it is not to"
done

ingress_verbs() { render "$@" | grep -A 1 'resources: \[ingresses\]' | sed -n 's/.*verbs: //p'; }
exposing=(--set 'expose.domains={example.org,\{namespace\}.example.net}' --set expose.annotations.a=b --set expose.ingressClassName=c)
for where in "" dns; do
  [ "$(ingress_verbs --set watchNamespace=$where)" = "[list, watch, delete]" ] ||
    fail "without expose.domains the operator has other rights to Ingresses than it needs"
  [ "$(ingress_verbs --set watchNamespace=$where "${exposing[@]}")" = "[list, watch, delete, get, create, patch]" ] ||
    fail "with expose.domains the operator has other rights to Ingresses than it needs"
done
for line in 'value: "example.org,{namespace}.example.net"' 'value: "{\"a\":\"b\"}"' 'value: "c"'; do
  render "${exposing[@]}" | grep -qF "$line" || fail "the chart does not hand on expose: no $line"
done

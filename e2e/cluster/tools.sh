#!/bin/bash
# Builds what the project needs around it into the cache.
#
#   tools.sh demo      what `make demo` needs: the cluster's programs, helm
#   tools.sh all       that, and what the tests need: garage, MinIO, PowerDNS 4.9 and 5, libfaketime, cargo-nextest, cargo-deny,
#                      emulators, an ingress controller
#   tools.sh TOOL...   of helm, kubectl, garage, minio, powerdns, faketime, nextest, deny, fuzz, emulators, ingress
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
source "$HERE/lib/common.sh"
source "$HERE/lib/packages.sh"
source "$HERE/lib/programs.sh"

# Go's compiler and cargo's wait for each other's last crate in turn: side by side they fill both processors.
lanes() {
  local pids=() lane rc=0
  for lane in "$@"; do "$lane" & pids+=($!); done
  for lane in "${pids[@]}"; do wait "$lane" || rc=$?; done
  return "$rc"
}

go_lane() {
  build_helm
  if [ -n "${ZONETIDE_KUBECONFIG:-}" ]; then build_kubectl
  elif docker_answers; then build_kubectl; build_kind
  else build_node
  fi
}

# Garage's server is pulled as an image where there is Docker or a registry; tests start it by itself as well.
demo_lane() { if [ -z "${ZONETIDE_KUBECONFIG:-}" ] && ! docker_answers; then build_garage; fi; }
test_lane() {
  build_powerdns_root
  build_powerdns_5_root
  build_faketime
  build_garage
  build_nextest
  build_deny
}

# Of Azure Blob Storage and Google Cloud Storage
build_emulators() { build_fake_gcs; build_azurite; }
emulator_packages() { command -v npm >/dev/null || have_packages nodejs npm; }
test_go_lane() { go_lane; build_minio; build_emulators; build_ingress; }

packages() {
  local wanted=("${COMMON_PACKAGES[@]}")
  if [ -z "${ZONETIDE_KUBECONFIG:-}" ] && ! docker_answers; then wanted+=("${NODE_PACKAGES[@]}"); fi
  have_packages "${wanted[@]}"
}

lock_cache
case ${1:-} in
  demo) packages; lanes go_lane demo_lane ;;
  all) packages; emulator_packages; lanes test_go_lane test_lane ;;
  helm | kubectl | garage | minio | nextest | deny | fuzz | powerdns | faketime | emulators | ingress)
    for tool in "$@"; do
      case $tool in
        garage | powerdns | faketime) have_packages "${COMMON_PACKAGES[@]}" ;;&
        powerdns) build_powerdns_root; build_powerdns_5_root ;;
        emulators) emulator_packages; build_emulators ;;
        helm | kubectl | garage | minio | faketime | nextest | deny | fuzz | ingress) "build_$tool" ;;
        *) die "no such tool: $tool" ;;
      esac
    done ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

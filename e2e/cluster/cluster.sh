#!/bin/bash
# The Kubernetes cluster that tests and the demo run on: the one that ZONETIDE_KUBECONFIG names; else kind,
# where a Docker engine answers; else one node made of this machine. KUBECONFIG is never looked at.
#
#   cluster.sh up             bring it up, or back up, and wait until it is Ready
#   cluster.sh load IMAGE...  make images built here known to it
#   cluster.sh kubeconfig     print the path of its kubeconfig
#   cluster.sh status         print which one it is and how it is
#   cluster.sh running        succeed if any part of it runs
#   cluster.sh down [--wipe]  stop it, and with --wipe delete all it holds
#
# Built programs are kept in ${ZONETIDE_CACHE:-~/.cache/zonetide}, the one-node cluster's state in
# ${ZONETIDE_CLUSTER_STATE:-/var/lib/zonetide-cluster}.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
source "$HERE/lib/common.sh"
source "$HERE/lib/packages.sh"
source "$HERE/lib/programs.sh"
source "$HERE/lib/images.sh"
source "$HERE/lib/process.sh"
source "$HERE/lib/node_config.sh"
source "$HERE/lib/cleanup.sh"
source "$HERE/lib/one_node.sh"
source "$HERE/lib/kind.sh"
source "$HERE/lib/named.sh"

choose() {
  if [ -n "${ZONETIDE_KUBECONFIG:-}" ]; then echo named
  elif docker_answers; then echo kind
  else echo one_node
  fi
}

main() {
  local command=${1:-} cluster
  shift || true
  case $command in
    up) "$(choose)_up" ;;
    load) "$(choose)_load" "$@" ;;
    down)
      cluster=$(choose)
      if [ "$cluster" = named ]; then say "the cluster of ZONETIDE_KUBECONFIG is yours: it is left as it is"; return; fi
      "${cluster}_down" "$@" ;;
    kubeconfig)
      case $(choose) in
        named) echo "$ZONETIDE_KUBECONFIG" ;;
        kind) echo "$KIND_KUBECONFIG" ;;
        *) echo "$KUBECONFIG_FILE" ;;
      esac ;;
    running) "$(choose)_running" ;;
    status)
      cluster=$(choose)
      echo "cluster: ${cluster/_/-}"
      if [ "$cluster" = one_node ]; then one_node_status
      else "$BIN/kubectl" --kubeconfig "$("$0" kubeconfig)" get nodes; fi ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
}

main "$@"

#!/bin/bash
# The chart in the cluster.
#
#   install.sh install PREFIX TAG   install or upgrade it with the images PREFIX/{operator,agent,powerdns,powerdns-4.9}:TAG
#   install.sh remove               from a cluster of the user's own: take away the example and the chart
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
source "$HERE/lib/common.sh"
ROOT=$(cd "$HERE/../.." && pwd)
NAMESPACE=zonetide-system
RELEASE=zonetide
KUBECONFIG=$("$HERE/cluster.sh" kubeconfig)
export KUBECONFIG
k() { "$BIN/kubectl" "$@"; }

show_operator() {
  k -n $NAMESPACE get pods -o wide || true
  k -n $NAMESPACE get events --sort-by=.lastTimestamp | tail -n 15 || true
  k -n $NAMESPACE logs deployment/zonetide-operator --tail 30 || true
} >&2

install_chart() {
  local id pull=IfNotPresent
  if [ -n "${ZONETIDE_KUBECONFIG:-}" ]; then pull=Always; fi
  # The tag stays the same when the image changes: its ID in the pod template is what makes the pod a new one.
  id=$("$HERE/images.sh" id "$1/operator:$2")
  "$BIN/helm" upgrade --install "$RELEASE" "$ROOT/charts/zonetide" --namespace $NAMESPACE --create-namespace \
    --set "image.repository=$1/operator,image.tag=$2,image.pullPolicy=$pull" \
    --set "agent.image=$1/agent:$2,powerdns.images.5\.1=$1/powerdns:$2,powerdns.images.4\.9=$1/powerdns-4.9:$2" \
    --set "minio.image=$MINIO_IMAGE" \
    --set-json 'expose.domains=["{namespace}.zonetide.test"]' \
    --set-string "podAnnotations.zonetide\\.dev/image-id=$id" --wait --timeout 3m >"$LOGS/helm.log" 2>&1 || {
    cat "$LOGS/helm.log" >&2
    show_operator
    die "the chart could not be installed"
  }
  # Helm leaves alone what it did not change itself: an instrument that was interrupted may have left no operator.
  k -n $NAMESPACE scale deployment/zonetide-operator --replicas=1 >/dev/null
  k -n $NAMESPACE rollout status deployment/zonetide-operator --timeout 3m >/dev/null || { show_operator; die "the operator does not run"; }
  say "release $RELEASE is installed in namespace $NAMESPACE, and the operator runs"
}

case ${1:-} in
  install) install_chart "$2" "$3" ;;
  remove)
    # Other clusters are deleted as a whole.
    [ -n "${ZONETIDE_KUBECONFIG:-}" ] || exit 0
    k delete --ignore-not-found --timeout 2m -f "$ROOT/examples/dnscluster.yaml" || true
    "$BIN/helm" uninstall "$RELEASE" --namespace $NAMESPACE --wait --timeout 2m || true
    k delete namespace $NAMESPACE --ignore-not-found ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

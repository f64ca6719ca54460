# shellcheck shell=bash
# kind: a cluster in Docker containers, where a Docker engine answers.

KIND_NAME=zonetide
KIND_KUBECONFIG=$CACHE/kind.kubeconfig

kind_up() {
  lock_cache
  build_kind
  build_kubectl
  if "$BIN/kind" get clusters 2>/dev/null | grep -qx "$KIND_NAME"; then
    # After a restart of Docker the node's container may be stopped; it comes back with its state.
    docker start "$KIND_NAME-control-plane" >/dev/null
    "$BIN/kind" export kubeconfig --name "$KIND_NAME" --kubeconfig "$KIND_KUBECONFIG" >/dev/null 2>&1
  else
    timed "making the kind cluster" "$BIN/kind" create cluster --name "$KIND_NAME" \
      --config "$HERE/kind.yaml" --kubeconfig "$KIND_KUBECONFIG" >&2
  fi
  wait_until 180 "the kind node" "$BIN/kubectl" --kubeconfig "$KIND_KUBECONFIG" \
    wait --for=condition=Ready node --all --timeout=1s
  say "the kind cluster is Ready: kubectl --kubeconfig $KIND_KUBECONFIG get nodes"
}

kind_running() { docker ps --format '{{.Names}}' | grep -qx "$KIND_NAME-control-plane"; }

kind_load() { "$BIN/kind" load docker-image --name "$KIND_NAME" "$@" >&2; }

# kind keeps no state of its own beside the cluster: stop its container, or delete it.
kind_down() {
  if [ "${1:-}" = --wipe ]; then
    "$BIN/kind" delete cluster --name "$KIND_NAME" --kubeconfig "$KIND_KUBECONFIG" >&2
  else
    docker stop "$KIND_NAME-control-plane" >/dev/null 2>&1 || true
  fi
  say "the kind cluster is down"
}

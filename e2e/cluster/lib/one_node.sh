# shellcheck shell=bash
# A one-node Kubernetes for a machine without Docker: kubelet, control plane and kube-proxy from Go modules,
# containerd and runc from Debian, CoreDNS, and a provisioner of local volumes.

NODE_PROCESSES=(etcd apiserver containerd controller-manager scheduler kubelet kube-proxy)
KUBECONFIG_FILE=$STATE/admin.conf

k() { "$BIN/kubectl" --kubeconfig "$KUBECONFIG_FILE" "$@"; }
ctr_() { ctr -a "$SOCK" -n k8s.io "$@"; }

one_node_up() {
  if all_processes_run && node_ready && addons_ready; then
    say "the one-node cluster is up"
    return
  fi
  [ "$(id -u)" = 0 ] || die "the one-node cluster needs root; or start Docker, or name a cluster of yours in ZONETIDE_KUBECONFIG"
  lock_cache
  have_packages "${COMMON_PACKAGES[@]}" "${NODE_PACKAGES[@]}"
  build_node
  install -d -m 711 "$STATE" "$RUN"
  make_certificates
  write_settings
  timed "starting the control plane" start_control_plane
  timed "loading the node's own images" load_node_images
  timed "starting the node" start_node
  say "the cluster is Ready: kubectl --kubeconfig $KUBECONFIG_FILE get nodes"
}

all_processes_run() { local p; for p in "${NODE_PROCESSES[@]}"; do pid_of "$p" >/dev/null || return 1; done; }
node_ready() { k wait --for=condition=Ready node/local --timeout=1s >/dev/null 2>&1; }
rolled_out() { k -n "$1" rollout status "deployment/$2" --timeout=1s >/dev/null 2>&1; }
addons_ready() { rolled_out kube-system coredns && rolled_out local-path-storage local-path; }
api_answers() { k get --raw /readyz; }
containerd_answers() { ctr_ version; }

start_control_plane() {
  if ! pid_of containerd >/dev/null; then
    stop kubelet
    recover
  fi
  make_interface
  contain_services
  make_cgroup
  start etcd "$BIN/etcd" --data-dir "$STATE/etcd" --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster default=http://127.0.0.1:2380
  start containerd containerd -c "$STATE/containerd.toml"
  start apiserver "$BIN/k8s" kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
    --secure-port=6443 --advertise-address="$NODE_IP" \
    --tls-cert-file="$STATE/pki/apiserver.crt" --tls-private-key-file="$STATE/pki/apiserver.key" \
    --client-ca-file="$STATE/pki/ca.crt" \
    --service-account-key-file="$STATE/pki/sa.pub" --service-account-signing-key-file="$STATE/pki/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-cluster-ip-range="$SERVICE_CIDR" --authorization-mode=Node,RBAC --allow-privileged=true \
    --kubelet-client-certificate="$STATE/pki/admin.crt" --kubelet-client-key="$STATE/pki/admin.key" \
    --kubelet-preferred-address-types=InternalIP
  ON_TIMEOUT=show_control_plane wait_until 90 "the API server" api_answers
  ON_TIMEOUT=show_control_plane wait_until 30 "containerd" containerd_answers
  start controller-manager "$BIN/k8s" kube-controller-manager --kubeconfig="$STATE/controller-manager.conf" \
    --service-account-private-key-file="$STATE/pki/sa.key" --root-ca-file="$STATE/pki/ca.crt" \
    --use-service-account-credentials=true --leader-elect=false
  start scheduler "$BIN/k8s" kube-scheduler --kubeconfig="$STATE/scheduler.conf" --leader-elect=false
}

load_node_images() {
  use_buildah
  debian_image
  image_of_program localhost/pause:1 pause
  image_of_program localhost/coredns:1 coredns
  image_of_program localhost/local-path:1 local-path-provisioner
  one_node_load localhost/pause:1 localhost/coredns:1 localhost/local-path:1 "$DEBIAN_IMAGE"
}

start_node() {
  start kubelet "$BIN/k8s" kubelet --config="$STATE/kubelet.yaml" --kubeconfig="$STATE/node.conf" \
    --hostname-override=local --node-ip="$NODE_IP" --root-dir="$STATE/kubelet"
  start kube-proxy "$BIN/k8s" kube-proxy --kubeconfig="$STATE/kube-proxy.conf" --cluster-cidr="$POD_CIDR" \
    --hostname-override=local --conntrack-max-per-core=0
  k apply -f "$HERE/addons.yaml" >/dev/null
  ON_TIMEOUT=show_node wait_until 90 "the node" node_ready
  ON_TIMEOUT=show_node wait_until 120 "CoreDNS and the volume provisioner" addons_ready
}

show_control_plane() { log_tail etcd apiserver containerd; }
show_node() {
  k get nodes,pods -A -o wide >&2 || true
  k get events -A --sort-by=.lastTimestamp 2>/dev/null | tail -n 15 >&2 || true
  log_tail containerd kubelet kube-proxy
}

# one_node_load IMAGE...: from buildah's store into containerd, unless this very image is there already.
one_node_load() {
  use_buildah
  pid_of containerd >/dev/null || die "the cluster is not up: make cluster-up"
  local image id tar
  for image in "$@"; do
    id=$(image_id "$image")
    [ -n "$id" ] || die "no image $image here: make images"
    if [ -n "$(ctr_ images ls -q "name==$image,labels.\"zonetide.dev/id\"==$id")" ]; then continue; fi
    tar=$TMPDIR/load.$$.tar
    rm -f "$tar"
    timed "loading $image" load_archive "$image" "$id" "$tar"
  done
}

load_archive() {
  buildah push -q "$1" "docker-archive:$3:$1" >/dev/null
  ctr_ images import "$3" >/dev/null
  ctr_ images label "$1" "zonetide.dev/id=$2" >/dev/null
  rm -f "$3"
}

one_node_down() {
  [ "$(id -u)" = 0 ] || die "the one-node cluster needs root"
  local p
  # The kubelet first, so that it starts nothing again; etcd last, so that all can write what they know.
  for p in kubelet kube-proxy scheduler controller-manager; do stop "$p"; done
  end_pods
  for p in containerd apiserver etcd; do stop "$p"; done
  recover
  remove_rules
  release_services
  remove_cgroups
  if [ "${1:-}" = --wipe ]; then rm -rf "$STATE"; fi
  say "the one-node cluster is down"
}

one_node_running() { local p; for p in "${NODE_PROCESSES[@]}"; do pid_of "$p" >/dev/null && return; done; return 1; }

one_node_status() {
  local p pid
  for p in "${NODE_PROCESSES[@]}"; do
    if pid=$(pid_of "$p"); then echo "$p: runs as $pid"; else echo "$p: does not run"; fi
  done
  k get nodes 2>/dev/null || true
}

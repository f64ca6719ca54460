# shellcheck shell=bash
# Certificates and settings of the one-node cluster.

NODE_IP=10.200.0.1            # of an interface of its own: the machine's address may change or be filtered
POD_CIDR=10.244.0.0/24
SERVICE_CIDR=10.96.0.0/16
DNS_IP=10.96.0.10             # also in addons.yaml
API=https://127.0.0.1:6443
SOCK=$RUN/containerd.sock
CGROUP=zonetide               # all pods are below it, so that they can be told from anything else

make_certificates() {
  [ -d "$STATE/pki" ] && return
  say "making the cluster's certificates"
  local pki=$STATE/pki.part user
  rm -rf "$pki"; mkdir -p "$pki"; chmod 700 "$pki"
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$pki/ca.key" -out "$pki/ca.crt" -days 3650 \
    -subj /CN=zonetide-cluster-ca 2>/dev/null
  certificate apiserver /CN=kube-apiserver \
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1,IP:$NODE_IP"
  certificate admin /O=system:masters/CN=admin
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate kube-proxy /CN=system:kube-proxy
  certificate node /O=system:nodes/CN=system:node:local "DNS:local,IP:127.0.0.1,IP:$NODE_IP"
  openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
  openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
  for user in admin controller-manager scheduler kube-proxy node; do
    kubeconfig_of "$user" >"$STATE/$user.conf"
    chmod 600 "$STATE/$user.conf"
  done
  mv "$pki" "$STATE/pki"
}

# certificate NAME SUBJECT [ALTERNATIVE_NAMES]
certificate() {
  openssl req -newkey rsa:2048 -nodes -keyout "$pki/$1.key" -out "$pki/$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 \
    -out "$pki/$1.crt" -extfile <(echo "subjectAltName=${3:-DNS:localhost}") 2>/dev/null
}

kubeconfig_of() {
  cat <<C
apiVersion: v1
kind: Config
clusters:
- {name: zonetide, cluster: {server: "$API", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}}
users:
- {name: $1, user: {client-certificate-data: $(base64 -w0 "$pki/$1.crt"), client-key-data: $(base64 -w0 "$pki/$1.key")}}
contexts:
- {name: zonetide, context: {cluster: zonetide, user: $1}}
current-context: zonetide
C
}

write_settings() {
  mkdir -p "$STATE"/{etcd,kubelet,log,run,cni} /opt/cni/bin
  # ptp routes every packet through the machine, where kube-proxy sees it, bridge or no bridge filter.
  cat >"$STATE/cni/10-zonetide.conflist" <<C
{"cniVersion": "0.4.0", "name": "zonetide", "plugins": [
  {"type": "ptp", "ipMasq": true,
   "ipam": {"type": "host-local", "dataDir": "$RUN/ipam", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE, as in some containers and virtual machines, no pod
  # would start. netns_mounts_under_state_dir: all that is mounted for pods is below $RUN.
  cat >"$STATE/containerd.toml" <<C
version = 2
root = "$STATE/containerd"
state = "$RUN/containerd"
[grpc]
address = "$SOCK"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$STATE/cni"
C
  # Images are loaded, not pulled: they must not be collected on a full disk, nor pods evicted.
  cat >"$STATE/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/node.crt
tlsPrivateKeyFile: $STATE/pki/node.key
clusterDNS: ["$DNS_IP"]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$SOCK
failSwapOn: false
resolvConf: /dev/null
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
C
}

# The kubelet wants its root cgroup to exist, with every controller the machine has.
make_cgroup() {
  local root=/sys/fs/cgroup dir c
  if [ -f $root/cgroup.controllers ]; then
    mkdir -p "$root/$CGROUP"
    for c in $(<$root/cgroup.controllers); do echo "+$c" >$root/cgroup.subtree_control 2>/dev/null || true; done
    for c in $(<"$root/$CGROUP/cgroup.controllers"); do echo "+$c" >"$root/$CGROUP/cgroup.subtree_control" 2>/dev/null || true; done
    return
  fi
  for dir in "$root"/*/; do
    [ -f "${dir}cgroup.procs" ] || continue
    mkdir -p "$dir$CGROUP"
    # A cpuset without processors and memory nodes takes no process.
    for c in cpuset.cpus cpuset.mems; do
      if [ -f "$dir$CGROUP/$c" ] && [ -z "$(<"$dir$CGROUP/$c")" ]; then cat "$dir$c" >"$dir$CGROUP/$c"; fi
    done
  done
}

make_interface() {
  modprobe -qa br_netfilter overlay ip_tables nf_conntrack 2>/dev/null || true
  ip link show zonetide0 >/dev/null 2>&1 || ip link add zonetide0 type dummy 2>/dev/null || ip link add zonetide0 type bridge
  ip addr replace "$NODE_IP/32" dev zonetide0
  ip link set zonetide0 up
}

# shellcheck shell=bash
# Taking away what a node leaves behind when it ends, in order or not.

# Shims are containerd's, one for each pod; ours name our socket. They outlive containerd on purpose.
shims() {
  local dir
  for dir in /proc/[0-9]*; do
    tr '\0' ' ' 2>/dev/null <"$dir/cmdline" | grep -q "containerd-shim.* -address $SOCK " && echo "${dir#/proc/}"
  done
  return 0
}

# Pods' processes are in cgroups below ours.
pod_processes() { grep -l ":/$CGROUP/" /proc/[0-9]*/cgroup 2>/dev/null | cut -d / -f 3; }

no_pod_runs() { [ -z "$(shims)$(pod_processes)" ]; }

end_pods() {
  local pid
  for pid in $(shims) $(pod_processes); do kill -9 "$pid" 2>/dev/null || true; done
  wait_until 20 "the pods' processes to end" no_pod_runs
}

unmount_all() {
  local mount
  # Spaces and the like are written as octal in mounts; %b turns them back.
  awk -v dir="$STATE/" 'index($2, dir) == 1 {print $2}' /proc/self/mounts | sort -r | while read -r mount; do
    umount -l "$(printf %b "$mount")" 2>/dev/null || true
  done
}

remove_cgroups() {
  local root
  for root in /sys/fs/cgroup/"$CGROUP" /sys/fs/cgroup/*/"$CGROUP"; do
    [ -d "$root" ] || continue
    find "$root" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
}

# Addresses of Services that kube-proxy does not know yet, or no longer, must not be asked for in the network
# around this machine, where something else may answer. (Those it knows are other addresses by then.)
SERVICE_GUARD=(-d "$SERVICE_CIDR" -m comment --comment "zonetide: no such Service" -j REJECT)

contain_services() {
  local chain
  for chain in OUTPUT FORWARD; do
    iptables -C "$chain" "${SERVICE_GUARD[@]}" 2>/dev/null || iptables -A "$chain" "${SERVICE_GUARD[@]}"
  done
}

release_services() {
  local chain
  for chain in OUTPUT FORWARD; do
    while iptables -D "$chain" "${SERVICE_GUARD[@]}" 2>/dev/null; do :; done
  done
}

# Rules and chains of kube-proxy, of the kubelet, and of the CNI plugins for our network (others' stay).
remove_rules() {
  local iptables table saved chains
  for iptables in iptables ip6tables; do
    command -v $iptables >/dev/null || continue
    for table in nat filter mangle; do
      saved=$($iptables-save -t $table 2>/dev/null) || continue
      chains=$({ grep -oE '^:KUBE-[^ ]+' <<<"$saved" | cut -c 2-
        grep -F 'name: \"zonetide\"' <<<"$saved" | grep -oE 'CNI-(DN-)?[0-9a-f]{8,}'; } | sort -u) || true
      [ -n "$chains" ] || continue
      {
        echo "*$table"
        grep -E '^-A ' <<<"$saved" | grep -E 'KUBE-|name: \\"zonetide\\"' | sed 's/^-A/-D/' || true
        xargs -n 1 echo -F <<<"$chains"
        xargs -n 1 echo -X <<<"$chains"
        echo COMMIT
      } | $iptables-restore --noflush || say "some rules of the cluster are left in $iptables -t $table"
    done
  done
}

remove_interfaces() {
  local name
  ip link del zonetide0 2>/dev/null || true
  # Pods' ends go with their namespaces; one whose namespace is still held is told by its route to a pod.
  for name in $(ip -4 route show | awk -v net="${POD_CIDR%.*}." 'index($1, net) == 1 {print $3}'); do
    case $name in veth*) ip link del "$name" 2>/dev/null || true ;; esac
  done
}

# The state of a node that was killed: as after a reboot, but with images, volumes and etcd's data kept.
# Only to be called when containerd does not run.
recover() {
  end_pods
  unmount_all
  remove_interfaces
  rm -rf "$RUN/containerd" "$RUN/ipam" "$SOCK" "$SOCK.ttrpc"
}

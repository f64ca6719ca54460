# shellcheck shell=bash
# Debian packages: installed when we may, named when we may not.

COMMON_PACKAGES=(gcc libc6-dev liblmdb-dev libsodium-dev pkg-config mmdebstrap openssl curl ca-certificates shellcheck)
NODE_PACKAGES=(containerd runc containernetworking-plugins iptables conntrack iproute2 procps kmod buildah)

missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# have_packages PACKAGE...
have_packages() {
  command -v dpkg-query >/dev/null || { say "not a Debian system: cannot tell whether these are installed: $*"; return 0; }
  local missing; mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" != 0 ]; then
    die "these Debian packages are missing; install them with: sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
  logged apt-update "reading the package lists" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive logged apt-install "installing ${missing[*]}" \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# The machine's own Debian mirror; nothing where it has none, and mmdebstrap knows Debian's.
debian_mirror() {
  # shellcheck disable=SC2016  # apt's variables
  apt-get indextargets --format '$(SITE) $(COMPONENT) $(ORIGIN)' 2>/dev/null |
    awk '$2 == "main" && $3 == "Debian" && $1 !~ /security/ {print $1; exit}'
}

# shellcheck shell=bash
# Programs built from source into $BIN. Each is built once per version: what was built is noted in
# $BIN/.built/NAME, so that a new version in versions.env is built and an old one is not taken for it.

is_built() { [ -x "$BIN/$1" ] && [ "$(cat "$BIN/.built/$1" 2>/dev/null)" = "$2" ]; }
note_built() { mkdir -p "$BIN/.built"; echo "$2" >"$BIN/.built/$1"; }

# go_program NAME PACKAGE: one of the programs of programs/go.mod, which pins them and all they are made of.
go_program() {
  local dir=$HERE/programs version
  version=$(cat "$dir"/go.mod "$dir"/go.sum "$dir"/*/*.go | sha256sum | cut -c 1-16)
  is_built "$1" "$version" && return
  need_go
  local release stamp=k8s.io/component-base/version
  release=$(sed -n 's#^\tk8s.io/kubernetes v##p' "$dir/go.mod")
  CGO_ENABLED=0 logged "build-$1" "building $1" \
    go build -C "$dir" -mod=readonly -trimpath -o "$BIN/.$1" -ldflags="-s -w -X $stamp.gitVersion=v$release
      -X $stamp.gitMajor=${release%%.*} -X $stamp.gitMinor=$(cut -d . -f 2 <<<"$release")" "$2"
  mv "$BIN/.$1" "$BIN/$1"   # a running one keeps its file
  note_built "$1" "$version"
}

# cargo_program NAME VERSION CRATE [FLAG...]: a program from crates.io, built to be built quickly
cargo_program() {
  local name=$1 version=$2 crate=$3; shift 3
  is_built "$name" "$version $*" && return
  command -v cargo >/dev/null || die "cargo is not installed: see https://rustup.rs"
  # Nothing of the project's own settings is to reach these: no lints, no target directory, no wrapper.
  (
    cd / && unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    export CARGO_TARGET_DIR=$CACHE/target/tools CARGO_INCREMENTAL=0
    export CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0
    logged "build-$name" "building $name $version" \
      cargo install --locked --force --root "$CACHE" --version "$version" "$crate" "$@"
  )
  note_built "$name" "$version $*"
}

need_go() { command -v go >/dev/null || die "Go is not installed: see https://go.dev/dl (1.24 or newer; it fetches the rest)"; }

build_kubectl() {
  go_program k8s ./k8s   # several minutes, once
  ln -sf k8s "$BIN/kubectl"
}
build_helm() { go_program helm helm.sh/helm/v3/cmd/helm; }
build_kind() {
  is_built kind "$KIND_VERSION" && return
  need_go
  GOBIN=$BIN CGO_ENABLED=0 logged build-kind "building kind $KIND_VERSION" go install -trimpath "sigs.k8s.io/kind@v$KIND_VERSION"
  note_built kind "$KIND_VERSION"
}

build_node() {
  build_kubectl
  go_program etcd go.etcd.io/etcd/server/v3
  go_program coredns ./coredns
  go_program local-path-provisioner github.com/rancher/local-path-provisioner
  if ! is_built pause 1; then
    gcc -static -O2 -s -o "$BIN/pause" "$HERE/pause.c"
    note_built pause 1
  fi
}

# With the engine we run it with and nothing else; libsodium is Debian's, linked statically, where the crate
# would build its own and test that at length.
build_garage() {
  SODIUM_LIB_DIR=/usr/lib/$(gcc -print-multiarch) \
    cargo_program garage "$GARAGE_VERSION" garage --no-default-features --features bundled-libs,lmdb,metrics
}
# Without its self-update, and so without a second TLS library and its C.
build_nextest() { cargo_program cargo-nextest "$NEXTEST_VERSION" cargo-nextest --debug --no-default-features; }
build_deny() { cargo_program cargo-deny "$CARGO_DENY_VERSION" cargo-deny --debug; }

# PowerDNS with its libraries, to run beside the tests without a container: started by its own ld.so.
build_powerdns_root() {
  local root=$CACHE/roots/powerdns-$POWERDNS_SERIES
  [ -x "$root/usr/sbin/pdns_server" ] && return
  rm -rf "$root" "$root.part"; mkdir -p "$CACHE/roots"
  # shellcheck disable=SC2046  # nothing, or one word
  logged powerdns-root "unpacking PowerDNS $POWERDNS_SERIES and its libraries" \
    mmdebstrap --quiet --variant=extract --include=pdns-server,pdns-backend-lmdb,pdns-tools \
    "$DEBIAN_RELEASE" "$root.part" $(debian_mirror)
  local dir
  for dir in bin sbin lib lib64; do [ -e "$root.part/$dir" ] || ln -s "usr/$dir" "$root.part/$dir"; done
  mv "$root.part" "$root"
}

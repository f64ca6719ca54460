# shellcheck shell=bash
# Programs built from source into $BIN. Each is built once per version: what was built is noted in
# $BIN/.built/NAME, so that a new version in versions.env is built and an old one is not taken for it.

is_noted() { [ "$(cat "$BIN/.built/$1" 2>/dev/null)" = "$2" ]; }
is_built() { [ -x "$BIN/$1" ] && is_noted "$1" "$2"; }
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
# Fuzzers are built with the sanitizers and counters of Rust's nightly toolchain.
build_fuzz() {
  cargo_program cargo-fuzz "$CARGO_FUZZ_VERSION" cargo-fuzz
  if cargo +nightly --version >/dev/null 2>&1; then return; fi
  command -v rustup >/dev/null || die "rustup is not installed, and Rust's nightly toolchain is needed: see https://rustup.rs"
  logged rust-nightly "installing Rust's nightly toolchain" rustup toolchain install nightly --profile minimal
}

# debian_tree ROOT SUITE NAME PACKAGE[,PACKAGE...]: packages with their libraries, to run beside the tests without a
# container: started by their own ld.so.
debian_tree() {
  local root=$1 suite=$2 what=$3 packages=$4 dir
  rm -rf "$root" "$root.part"; mkdir -p "$CACHE/roots"
  # Mirrors and copies of them may lag behind the date that unstable's index is good until.
  # shellcheck disable=SC2046  # nothing, or one word
  logged "$(basename "$root")" "unpacking $what and its libraries" \
    mmdebstrap --quiet --variant=extract --include="$packages" \
    --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$root.part" $(debian_mirror)
  for dir in bin sbin lib lib64; do [ -e "$root.part/$dir" ] || ln -s "usr/$dir" "$root.part/$dir"; done
  mv "$root.part" "$root"
}

POWERDNS_PACKAGES=pdns-server,pdns-backend-lmdb,pdns-tools
build_powerdns_root() {
  local root=$CACHE/roots/powerdns-$POWERDNS_SERIES
  [ -x "$root/usr/sbin/pdns_server" ] ||
    debian_tree "$root" "$DEBIAN_RELEASE" "PowerDNS $POWERDNS_SERIES" "$POWERDNS_PACKAGES"
}

# The PowerDNS with the newer database schema, from Debian unstable, which has the version that it has.
build_powerdns_5_root() {
  local root=$CACHE/roots/powerdns-5 version
  if [ ! -x "$root/usr/sbin/pdns_server" ]; then debian_tree "$root" "$POWERDNS_5_DEBIAN_RELEASE" "PowerDNS 5" "$POWERDNS_PACKAGES"; fi
  version=$(powerdns_version "$root")
  printf '%s\n' "$POWERDNS_5_AT_LEAST" "$version" | sort -V -C ||
    die "Debian $POWERDNS_5_DEBIAN_RELEASE has PowerDNS $version in $root, and $POWERDNS_5_AT_LEAST or newer is needed: delete it to fetch it anew"
  is_noted powerdns-5 "$version" || { say "PowerDNS 5 is $version"; note_built powerdns-5 "$version"; }
}

# What gives a process of the tests a clock that is wrong. It is loaded into programs with C libraries of their own, so
# it is taken from a release that is older than all of them.
build_faketime() {
  local root=$CACHE/roots/faketime
  [ -e "$root/usr/lib/$(gcc -print-multiarch)/faketime/libfaketimeMT.so.1" ] ||
    debian_tree "$root" "$FAKETIME_DEBIAN_RELEASE" "libfaketime" libfaketime
}

# powerdns_version ROOT: what the server there says of itself
powerdns_version() {
  local libraries
  libraries=$1/usr/lib/$(gcc -print-multiarch)
  "$1/lib64/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/pdns" "$1/usr/sbin/pdns_server" --version 2>&1 |
    sed -n 's/.*Authoritative Server \([0-9][^ ]*\).*/\1/p'
}

# Its go.mod is not part of programs/go.mod: there its libraries would change those of all the others.
build_minio() {
  is_built minio "$MINIO_VERSION" && return
  need_go
  GOBIN=$BIN CGO_ENABLED=0 logged build-minio "building MinIO $MINIO_VERSION" \
    go install -trimpath -ldflags="-s -w" "github.com/minio/minio@v$MINIO_VERSION"
  note_built minio "$MINIO_VERSION"
}

# The ingress controller of the tests. Not in programs/: it has newer libraries of Kubernetes than the cluster, and a change of it must not build that anew.
build_ingress() {
  local dir=$HERE/ingress version
  version=$(cat "$dir"/go.mod "$dir"/go.sum "$dir"/main.go "$dir"/*/* | sha256sum | cut -c 1-16)
  is_built ingress "$version" && return
  need_go
  CGO_ENABLED=0 logged build-ingress "building the ingress controller" \
    go build -C "$dir" -mod=readonly -trimpath -ldflags="-s -w" -o "$BIN/.ingress" .
  mv "$BIN/.ingress" "$BIN/ingress"
  note_built ingress "$version"
}

# What the tests of the Azure and Google stores talk to.
build_azurite() {
  local lock=$HERE/programs/azurite version
  version=$(cat "$lock"/package*.json | sha256sum | cut -c 1-16)
  is_noted azurite "$version" && [ -d "$CACHE/azurite/node_modules/azurite" ] && return
  rm -rf "$CACHE/azurite"; mkdir -p "$CACHE/azurite"
  cp "$lock"/package*.json "$CACHE/azurite"
  logged build-azurite "installing Azurite" \
    npm ci --prefix "$CACHE/azurite" --omit=dev --ignore-scripts --no-audit --no-fund
  note_built azurite "$version"
}
build_fake_gcs() {
  is_built fake-gcs-server "$FAKE_GCS_VERSION" && return
  need_go
  GOBIN=$BIN CGO_ENABLED=0 logged build-fake-gcs-server "building fake-gcs-server $FAKE_GCS_VERSION" \
    go install -trimpath "github.com/fsouza/fake-gcs-server@v$FAKE_GCS_VERSION"
  note_built fake-gcs-server "$FAKE_GCS_VERSION"
}

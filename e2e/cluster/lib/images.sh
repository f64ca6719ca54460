# shellcheck shell=bash
# Images without Docker: built by buildah in a store of our own under $CACHE, so that the stand-ins for
# public base images, made here from Debian packages, never get among the person's own images.

use_buildah() {
  export BUILDAH_ISOLATION=chroot CONTAINERS_STORAGE_CONF=$CACHE/images/storage.conf
  export TMPDIR=$CACHE/images/tmp          # buildah keeps the build's cache mounts there as well
  mkdir -p "$TMPDIR"
  local driver=overlay
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || driver=vfs
  printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n' \
    "$driver" "$CACHE/images/$driver" "/run/zonetide-images" >"$CONTAINERS_STORAGE_CONF"
}

# The ID of an image in our store; nothing if it is not there.
image_id() { { buildah images --format '{{.ID}}' --no-trunc "$1" 2>/dev/null || true; } | head -n 1 | sed 's/^sha256://'; }

# image_is IMAGE VERSION: whether our image was made from this version of its recipe
image_is() {
  [ "$(buildah inspect --type image --format '{{index .Docker.Config.Labels "dev.zonetide.recipe"}}' "$1" 2>/dev/null)" = "$2" ]
}

# image_from_tree IMAGE VERSION DIRECTORY [CONFIG...]: an image of one layer; CONFIG are flags of buildah config
image_from_tree() {
  local image=$1 version=$2 tree=$3 c; shift 3
  c=$(buildah from scratch)
  buildah add -q "$c" "$tree" / >/dev/null
  buildah config --label "dev.zonetide.recipe=$version" "$@" "$c"
  buildah commit -q --format docker --rm "$c" "$image" >/dev/null
}

# image_of_program IMAGE PROGRAM: a program of $BIN as an image of its own
image_of_program() {
  local version dir
  version=$(sha256sum <"$BIN/$2" | cut -c 1-16)
  image_is "$1" "$version" && return
  dir=$(mktemp -d)
  cp "$BIN/$2" "$dir/$2"
  timed "making the image $1" image_from_tree "$1" "$version" "$dir" --entrypoint "[\"/$2\"]"
  rm -rf "$dir"
}

# debian_base RELEASE FILE. Mirrors of unstable may lag behind the date that its index is good until.
debian_base() {
  # shellcheck disable=SC2046  # nothing, or one word
  mmdebstrap --quiet --variant=minbase --include=ca-certificates --aptopt='APT::Install-Recommends "false"' \
    --aptopt='Acquire::Check-Valid-Until "false"' "$1" "$2" $(debian_mirror)
}

# Stand in for Debian's own images: the same packages, from Debian's mirror.
debian_image() { debian_image_of "$DEBIAN_IMAGE" "$DEBIAN_RELEASE"; }
debian_5_image() { debian_image_of "$POWERDNS_5_DEBIAN_IMAGE" "$POWERDNS_5_DEBIAN_RELEASE"; }

# debian_image_of IMAGE RELEASE
debian_image_of() {
  local image=$1 release=$2 version="$2 1" tar=$CACHE/images/debian-$2.tar
  image_is "$image" "$version" && return
  rm -f "$tar"
  logged "debian-image-$release" "making $image from Debian packages" debian_base "$release" "$tar"
  image_from_tree "$image" "$version" "$tar" --cmd /bin/bash
  rm -f "$tar"
}

# Stands in for Rust's own image: Debian's with a linker, our build's libraries and this machine's toolchain.
rust_image() {
  local sysroot version dir
  sysroot=$(cd / && rustc --print sysroot)
  version="$(cd / && rustc --version) 3"
  image_is "$RUST_IMAGE" "$version" && return
  debian_image
  dir=$(mktemp -d)
  mkdir -p "$dir/rust/lib/rustlib"
  cp -a "$sysroot/bin" "$dir/rust/"
  rm -f "$dir"/rust/bin/{rustdoc,rust-analyzer,rust-gdb*,rust-lldb,clippy-driver,cargo-*,rustfmt}
  cp -a "$sysroot"/lib/*.so* "$dir/rust/lib/"
  cp -a "$sysroot"/lib/rustlib/*-linux-gnu "$dir/rust/lib/rustlib/"
  # What this machine trusts: crates may come through a company's proxy.
  cp /etc/ssl/certs/ca-certificates.crt "$dir/"
  cat >"$dir/Dockerfile" <<D
FROM $DEBIAN_IMAGE
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev liblmdb-dev pkg-config >/dev/null \\
 && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/
COPY rust /usr/local/rust
ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LABEL dev.zonetide.recipe="$version"
D
  logged rust-image "making $RUST_IMAGE from Debian packages and this machine's Rust" \
    buildah bud --format docker -t "$RUST_IMAGE" "$dir"
  rm -rf "$dir"
}

# Stands in for Garage's own image: the program alone at /garage, here with the libraries it is linked to.
garage_image() {
  program_image garage "$GARAGE_IMAGE" /garage <<'D'
ENV RUST_BACKTRACE=1 RUST_LOG=garage=info
CMD ["/garage", "server"]
D
}

# Stands in for MinIO's own image: the program in the path.
minio_image() {
  program_image minio "$MINIO_IMAGE" /usr/bin/minio <<'D'
CMD ["minio"]
D
}

# program_image PROGRAM IMAGE PATH: an image of a program that was built here, with the lines from the input.
program_image() {
  local program=$1 image=$2 path=$3 version dir
  version=$(sha256sum <"$BIN/$program" | cut -c 1-16)
  image_is "$image" "$version" && return
  debian_image
  dir=$(mktemp -d)
  cp "$BIN/$program" "$dir/$program"
  { printf 'FROM %s\nCOPY %s %s\nLABEL dev.zonetide.recipe="%s"\n' "$DEBIAN_IMAGE" "$program" "$path" "$version"
    cat; } >"$dir/Dockerfile"
  logged "$program-image" "making $image from the program built here" \
    buildah bud --format docker -t "$image" "$dir"
  rm -rf "$dir"
}

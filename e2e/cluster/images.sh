#!/bin/bash
# Builds the project's images, with Docker where an engine answers, else with buildah on stand-ins for the
# public base images.
#
#   images.sh build PREFIX TAG   build PREFIX/{operator,agent,powerdns,powerdns-4.9}:TAG from this checkout
#   images.sh load PREFIX TAG    make them known to the cluster, and the images of Garage and MinIO, where those cannot be pulled
#   images.sh test PREFIX TAG    build and load those that only tests run: PREFIX/powerdns-{official-layout,says-5.0}:TAG
#   images.sh id IMAGE           print an image's ID
#
# IMAGE_PROFILE names the cargo profile of the operator and the agent (default: image, quick to build).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
source "$HERE/lib/common.sh"
source "$HERE/lib/packages.sh"
source "$HERE/lib/programs.sh"
source "$HERE/lib/images.sh"

ROOT=$(cd "$HERE/../.." && pwd)
PROFILE=${IMAGE_PROFILE:-image}

# build_one IMAGE FILE TARGET CONTEXT ARGUMENT COMMAND...
build_one() {
  local image=$1 file=$2 target=$3 context=$4 argument=$5 name; shift 5
  name=${image##*/}
  logged "image-${name%:*}" "building $image" "$@" \
    --file "$file" --target "$target" --tag "$image" --build-arg "$argument" "$context"
}

# build_all PREFIX TAG COMMAND...
build_all() {
  local prefix=$1 tag=$2 target; shift 2
  for target in operator agent; do
    build_one "$prefix/$target:$tag" "$ROOT/Dockerfile" "$target" "$ROOT" "PROFILE=$PROFILE" "$@"
  done
  build_one "$prefix/powerdns:$tag" "$ROOT/Dockerfile" powerdns "$ROOT" "POWERDNS_DEBIAN_IMAGE=$POWERDNS_5_DEBIAN_IMAGE" "$@"
  build_one "$prefix/powerdns-4.9:$tag" "$ROOT/Dockerfile" powerdns "$ROOT" "POWERDNS_DEBIAN_IMAGE=$DEBIAN_IMAGE" "$@"
}

# build_for_tests PREFIX TAG COMMAND...
build_for_tests() {
  local prefix=$1 tag=$2 target dir=$HERE/test-images; shift 2
  for target in official-layout says-5.0; do
    build_one "$prefix/powerdns-$target:$tag" "$dir/Dockerfile" "$target" "$dir" "POWERDNS_IMAGE=$prefix/powerdns:$tag" "$@"
  done
}

# with_builder FUNCTION PREFIX TAG: --timestamp, so that the same content gets the same ID, and nothing is loaded or restarted in vain
with_builder() {
  if docker_answers; then
    DOCKER_BUILDKIT=1 "$@" docker build
  else
    use_buildah
    "$@" buildah bud --format docker --layers --timestamp 0
  fi
}

case ${1:-} in
  build)
    lock_cache
    if ! docker_answers; then
      have_packages "${COMMON_PACKAGES[@]}" buildah
      use_buildah
      # What builds that were interrupted have left mounted.
      buildah rm --all >/dev/null 2>&1 || true
      rust_image
      debian_5_image
    fi
    with_builder build_all "$2" "$3" ;;
  test)
    lock_cache
    with_builder build_for_tests "$2" "$3"
    "$HERE/cluster.sh" load "$2/powerdns-official-layout:$3" "$2/powerdns-says-5.0:$3" ;;
  id)
    if docker_answers; then docker image inspect --format '{{.Id}}' "$2"; else use_buildah; image_id "$2"; fi ;;
  load)
    images=("$2/operator:$3" "$2/agent:$3" "$2/powerdns:$3" "$2/powerdns-4.9:$3")
    # The one-node cluster may have no registry to pull from.
    if ! docker_answers && [ -z "${ZONETIDE_KUBECONFIG:-}" ]; then
      lock_cache
      build_garage
      use_buildah
      garage_image
      images+=("$GARAGE_IMAGE")
      # Only tests need it, and who wants to see a demo need not wait until it is built.
      if is_built minio "$MINIO_VERSION"; then
        minio_image
        images+=("$MINIO_IMAGE")
      fi
    fi
    "$HERE/cluster.sh" load "${images[@]}" ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

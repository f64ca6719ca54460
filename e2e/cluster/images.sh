#!/bin/bash
# Builds the project's images, with Docker where an engine answers, else with buildah on stand-ins for the
# public base images.
#
#   images.sh build PREFIX TAG   build PREFIX/{operator,agent,powerdns}:TAG from this checkout
#   images.sh load PREFIX TAG    make them known to the cluster, and the images of Garage and MinIO, where those cannot be pulled
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

# build_all PREFIX TAG COMMAND...
build_all() {
  local prefix=$1 tag=$2 target; shift 2
  for target in operator agent powerdns; do
    logged "image-$target" "building $prefix/$target:$tag" "$@" \
      --file "$ROOT/Dockerfile" --target "$target" --tag "$prefix/$target:$tag" \
      --build-arg "PROFILE=$PROFILE" "$ROOT"
  done
}

case ${1:-} in
  build)
    lock_cache
    if docker_answers; then
      DOCKER_BUILDKIT=1 build_all "$2" "$3" docker build
    else
      have_packages "${COMMON_PACKAGES[@]}" buildah
      use_buildah
      # What builds that were interrupted have left mounted.
      buildah rm --all >/dev/null 2>&1 || true
      rust_image
      # --timestamp: the same content gets the same ID, so that nothing is loaded or restarted in vain.
      build_all "$2" "$3" buildah bud --format docker --layers --timestamp 0
    fi ;;
  id)
    if docker_answers; then docker image inspect --format '{{.Id}}' "$2"; else use_buildah; image_id "$2"; fi ;;
  load)
    images=("$2/operator:$3" "$2/agent:$3" "$2/powerdns:$3")
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

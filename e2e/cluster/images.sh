#!/bin/bash
# Builds the project's images, with Docker where an engine answers, else with buildah on stand-ins for the
# public base images.
#
#   images.sh build PREFIX TAG   build PREFIX/{operator,agent,powerdns}:TAG from this checkout
#   images.sh id IMAGE           print an image's ID
#   images.sh garage             make the image of Garage, where it cannot be pulled, and print its name
#
# IMAGE_PROFILE names the cargo profile of the operator and the agent (default: image, quick to build).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR
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
    if docker_answers; then
      DOCKER_BUILDKIT=1 build_all "$2" "$3" docker build
    else
      have_packages "${COMMON_PACKAGES[@]}" buildah
      use_buildah
      rust_image
      # --timestamp: the same content gets the same ID, so that nothing is loaded or restarted in vain.
      build_all "$2" "$3" buildah bud --format docker --layers --timestamp 0
    fi ;;
  id)
    if docker_answers; then docker image inspect --format '{{.Id}}' "$2"; else use_buildah; image_id "$2"; fi ;;
  garage)
    if ! docker_answers && [ -z "${ZONETIDE_KUBECONFIG:-}" ]; then
      use_buildah
      build_garage
      garage_image
    fi
    echo "$GARAGE_IMAGE" ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

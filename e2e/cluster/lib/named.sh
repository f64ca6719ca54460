# shellcheck shell=bash
# A cluster of the user's own, named by ZONETIDE_KUBECONFIG. We neither start nor stop it, and images reach
# it through a registry that it can pull from.

named_up() {
  lock_cache
  build_kubectl
  "$BIN/kubectl" --kubeconfig "$ZONETIDE_KUBECONFIG" --request-timeout=10s get --raw /readyz >/dev/null ||
    die "the cluster that ZONETIDE_KUBECONFIG=$ZONETIDE_KUBECONFIG names does not answer"
  say "using the cluster of ZONETIDE_KUBECONFIG=$ZONETIDE_KUBECONFIG"
}

named_load() {
  local image
  for image in "$@"; do
    case $image in
      docker.io/zonetide/*) die "name a registry that your cluster pulls from: make … IMAGES=registry.example.org/me" ;;
    esac
    if docker_answers; then
      timed "pushing $image" docker push -q "$image" >&2
    else
      use_buildah
      timed "pushing $image" buildah push -q "$image" >&2
    fi
  done
}

named_running() { true; }

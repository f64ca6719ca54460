# Zonetide's images. Targets: operator, agent, powerdns.
#
#   docker build --target operator --tag zonetide/operator .
#   buildah bud  --target operator --tag zonetide/operator .
#
# Which PowerDNS it is follows from the Debian below it: 5.1 or newer from unstable, 4.9 with
# --build-arg POWERDNS_DEBIAN_IMAGE=docker.io/library/debian:trixie-slim

ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-trixie
ARG DEBIAN_IMAGE=docker.io/library/debian:trixie-slim
ARG POWERDNS_DEBIAN_IMAGE=docker.io/library/debian:sid-slim

# ---- the two programs, from source
FROM ${RUST_IMAGE} AS build
ARG PROFILE=release
ENV CARGO_HOME=/usr/local/cargo CARGO_TARGET_DIR=/target CARGO_INCREMENTAL=0
RUN dpkg -s liblmdb-dev pkg-config >/dev/null 2>&1 \
 || { apt-get update -qq && apt-get install -y -qq --no-install-recommends liblmdb-dev pkg-config; }
WORKDIR /src
COPY . .
# The members that are only for tests stay out of the build context; their manifests are enough for cargo.
# All files are touched, because a cached target directory may hold builds of other, older or newer, sources.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    mkdir -p e2e/src e2e/testbed/src \
 && touch e2e/src/lib.rs e2e/testbed/src/lib.rs \
 && find agent crds operator -type f -exec touch {} + \
 && cargo build --locked --profile "$PROFILE" --package zonetide-operator --package zonetide-agent --bins \
 && mkdir /out \
 && cp "/target/$PROFILE/zonetide-operator" "/target/$PROFILE/zonetide-agent" /out/

# ---- the operator
FROM ${DEBIAN_IMAGE} AS operator
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
COPY --from=build /out/zonetide-operator /usr/local/bin/
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Zonetide operator" \
      org.opencontainers.image.description="Makes DnsClusters: PowerDNS servers that replicate through an object store" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/zonetide-operator"]

# ---- the agent, with the LMDB that PowerDNS loads as well
FROM ${DEBIAN_IMAGE} AS agent
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates liblmdb0 \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
COPY --from=build /out/zonetide-agent /usr/local/bin/
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Zonetide agent" \
      org.opencontainers.image.description="Replicates the LMDB of the PowerDNS beside it through an object store" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
USER 953:953
ENTRYPOINT ["/usr/local/bin/zonetide-agent"]

# ---- PowerDNS with its LMDB backend, from Debian's packages, with the user ID of PowerDNS's own images, and an editor for `pdnsutil edit-zone`
FROM ${POWERDNS_DEBIAN_IMAGE} AS powerdns
RUN groupadd --gid 953 pdns \
 && useradd --uid 953 --gid pdns --home-dir /var/lib/powerdns --shell /usr/sbin/nologin pdns \
 && apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends pdns-server pdns-backend-lmdb pdns-tools nano \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /etc/powerdns/pdns.d/* \
 && mkdir -p /var/lib/powerdns /run/pdns \
 && chown pdns:pdns /var/lib/powerdns /run/pdns
ARG REVISION=unknown
LABEL org.opencontainers.image.title="PowerDNS Authoritative Server" \
      org.opencontainers.image.description="PowerDNS and its LMDB backend from Debian's packages" \
      org.opencontainers.image.licenses="GPL-2.0-only" \
      org.opencontainers.image.revision="${REVISION}"
USER 953:953
ENTRYPOINT ["pdns_server"]
CMD ["--guardian=no", "--daemon=no", "--disable-syslog", "--write-pid=no"]

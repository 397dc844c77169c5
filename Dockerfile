# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The renewd authors

# The image: one static program, the certificates that it trusts, and a user that is a number. There is nothing else in it.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t renewd .
#   docker buildx build --target prebuilt …       what `go run ./image/rootfs` of e2e/ has put into dist/, without a builder
#
# An engine makes a gzip layer unless told otherwise, which has 4.6 MB where that of a release, zstd, has 4.3:
#
#   docker buildx build --output type=image,name=renewd,oci-mediatypes=true,compression=zstd .
#
# e2e/image assembles the same image without an engine, with the configuration that it reads from the first stage here.
# A release names the builder by its digest: --build-arg GO_IMAGE=docker.io/library/golang@sha256:…
ARG GO_IMAGE=docker.io/library/golang:1.26

FROM scratch AS config
ARG VERSION=devel
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="renewd" \
      org.opencontainers.image.description="Keeps service tokens fresh in files" \
      org.opencontainers.image.vendor="The renewd authors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/renewd/renewd" \
      org.opencontainers.image.documentation="https://github.com/renewd/renewd/tree/main/docs" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
# A number: Kubernetes cannot tell of a name whether it is root (runAsNonRoot).
USER 65532:65532
ENTRYPOINT ["/renewd"]
CMD ["run"]

FROM config AS prebuilt
ARG TARGETARCH
COPY dist/rootfs-$TARGETARCH/ /

FROM --platform=$BUILDPLATFORM $GO_IMAGE AS build
WORKDIR /src
COPY go.mod go.sum main.go ./
COPY daemon daemon
COPY watcher watcher
COPY e2e/go.mod e2e/go.sum e2e/
COPY e2e/internal/program e2e/internal/program
COPY e2e/image e2e/image
ARG TARGETARCH
ARG VERSION=devel
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    cd e2e && go run ./image/rootfs -arch "$TARGETARCH" -version "$VERSION" /rootfs

FROM config AS final
COPY --from=build /rootfs/ /

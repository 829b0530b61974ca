# Two stages: a static binary, and an image with that, CA certificates and nothing else.
# The Go version is that of go.mod's toolchain line, with which releases are built. It is a tag and no digest: whoever
# wrote this line could not ask the registry for one. Dependabot keeps it, or a digest put after it, up to date.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
# Dependencies change seldom: a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY api/ api/
COPY controllers/ controllers/
COPY internal/ internal/
COPY webhookserver/ webhookserver/
COPY *.go ./
ARG VERSION=unknown
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /manager .

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /manager /manager
# nobody in particular; no shell, no home, nothing to write to but the journal's volume
USER 65532:65532
ENTRYPOINT ["/manager"]

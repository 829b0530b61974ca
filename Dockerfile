# Two stages: a static binary, and an image with that, CA certificates and nothing else.
FROM golang:1.26 AS build
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
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /manager .

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /manager /manager
# nobody in particular; no shell, no home, nothing to write to but the journal's volume
USER 65532:65532
ENTRYPOINT ["/manager"]

# The page's libraries, the program that embeds them, and a small system to run it on.
FROM node:22.20.0-bookworm-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/fetch-libs.sh ./
RUN mkdir lib && sh fetch-libs.sh

# h3-go is C behind Go: the compiler comes with this image, and the C library of the last stage must match.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=web /src/web/lib/ web/lib/
RUN CGO_ENABLED=1 go build -trimpath -ldflags='-s -w' -o /ridehail ./cmd/ridehail

FROM debian:12.12-slim
# curl is for the health check; the home of the user is where data goes.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home --home-dir /data ridehail
COPY --from=build /ridehail /usr/local/bin/ridehail
USER ridehail
WORKDIR /data
EXPOSE 8080
ENTRYPOINT ["ridehail"]
CMD ["demo", "--listen", "0.0.0.0:8080"]

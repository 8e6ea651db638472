# The operator's image: the binary over glibc and a CA bundle. Another BASE needs both; the tests make one of 30 MB from Debian's
# packages (tests/cluster/images.py), as a release does.
ARG BASE=debian-with-certificates
FROM debian:bookworm-slim AS debian-with-certificates
RUN apt-get update -q && apt-get install -qy --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*

FROM ${BASE}
COPY alembic-operator /usr/bin/alembic-operator
USER 65532:65532
ENTRYPOINT ["/usr/bin/alembic-operator"]
CMD ["run"]

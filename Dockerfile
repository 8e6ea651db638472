# The operator's image: the binary over glibc and a CA bundle. `make image` builds the binary and calls this with any
# base that has both; the tests make one of 30 MB from Debian's packages (tests/cluster/images.py).
ARG BASE=debian:bookworm-slim
FROM ${BASE}
COPY alembic-operator /usr/bin/alembic-operator
USER 65532:65532
ENTRYPOINT ["/usr/bin/alembic-operator"]
CMD ["run"]

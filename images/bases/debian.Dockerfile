# Stand-in for debian:SUITE-slim: a minimal root from packages plus the machine's own
# certificate authorities, which every later download inside an image may need.
ARG SUITE=bookworm
FROM byop/debian-root:${SUITE}
COPY . /usr/local/share/ca-certificates/
RUN rm -f /usr/local/share/ca-certificates/placeholder && update-ca-certificates
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    CARGO_HTTP_CAINFO=/etc/ssl/certs/ca-certificates.crt
CMD ["bash"]

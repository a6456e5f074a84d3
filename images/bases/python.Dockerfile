# Stand-in for python:SERIES-slim: Debian's Python under the names of the original.
# pip may write to the system here, as it may in the original.
ARG SUITE=bookworm
FROM debian:${SUITE}-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-pip python3-venv \
 && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED \
 && ln -s /usr/bin/python3 /usr/local/bin/python \
 && ln -s /usr/bin/python3 /usr/local/bin/python3 \
 && ln -s /usr/bin/pip3 /usr/local/bin/pip \
 && ln -s /usr/bin/pip3 /usr/local/bin/pip3
CMD ["python3"]

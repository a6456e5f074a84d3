# shellcheck shell=bash
# The file that tells other programs where everything is: lines of `export NAME=value`.

# Addresses that build steps need although they are not public: where a machine's package
# sources lie behind a private address, a step must still reach them. Names are read from
# the configuration of apt, pip and npm.
package_hosts() {
  debian_mirror
  echo
  python3 - <<'P' 2>/dev/null || true
from pip._internal.models.index import PyPI
print("https://" + PyPI.netloc)
print("https://" + PyPI.file_storage_domain)
P
  python3 -m pip config get global.index-url 2>/dev/null || true
  ! command -v npm >/dev/null || timeout 10 npm config get registry 2>/dev/null || true
}

private_package_addresses() {
  package_hosts | python3 -c '
import ipaddress, socket, sys
from urllib.parse import urlsplit
found = set()
for line in sys.stdin:
    host = urlsplit(line.strip()).hostname
    if not host:
        continue
    try:
        infos = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        continue
    found |= {info[4][0] for info in infos}
print(",".join(sorted(a + "/32" for a in found if not ipaddress.ip_address(a).is_global)))'
}

write_env_file() {
  local mirror=''
  [ -n "$HUB" ] || mirror=http://$GATEWAY:$MIRROR_PORT
  write_file "$ENV_FILE" <<EOF
export DOCKER_HOST=$ENGINE_HOST
export DOCKER_CONFIG=$DOCKER_CONFIG_OWN
export BYOP_STATE=$BYOP_STATE
export BYOP_NET=$BYOP_NET
export BYOP_DATA_DIR=$DATA_DIR
export BYOP_BUILD_DIR=$DATA_DIR/builds
export BYOP_GATEWAY=$GATEWAY
export BYOP_API_LISTEN=$GATEWAY:$API_PORT
export BYOP_API_URL=http://$GATEWAY:$API_PORT
export BYOP_REGISTRY=$GATEWAY:$REGISTRY_PORT
export BYOP_REGISTRY_CA_FILE=$CERTS/ca.pem
export BYOP_IMAGE_MIRROR=$mirror
export BYOP_BUILD_ENGINE=$ENGINE_HOST
export BYOP_LOCAL_ENGINE=$ENGINE_HOST
export BYOP_BUILD_ALLOW_CIDRS=$(private_package_addresses)
export BYOP_ACME_DIRECTORY=https://$GATEWAY:$ACME_PORT/dir
export BYOP_ACME_CA_FILE=$CERTS/ca.pem
export BYOP_ACME_EMAIL=ops@byop.test
export BYOP_VERIFY_CA_FILE=$BYOP_STATE/acme/root.pem
export BYOP_DNS_SERVER=$GATEWAY:$DNS_PORT
export BYOP_TEST_REGISTRY=http://$GATEWAY:$MIRROR_PORT
export BYOP_TEST_DNS=http://$GATEWAY:$DNS_ADMIN_PORT
export BYOP_TEST_ENV_FILE=$ENV_FILE
export PATH="$TOOLS/usr/sbin:$TOOLS/usr/bin:\$PATH"
EOF
  step "settings written to $ENV_FILE"
}

# shellcheck shell=bash
# What stands around the engine: certificates, the pull mirror, the product's registry,
# an ACME authority and a DNS server. All listen on the engine's gateway address only, so
# containers and this machine reach them and nobody else does.

CERTS=$BYOP_STATE/certs

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# One authority for this environment; its leaf names the gateway. Remade if the gateway changed.
certificates_up() {
  mkdir -p "$CERTS"
  if [ -s "$CERTS/cert.pem" ] && openssl x509 -in "$CERTS/cert.pem" -noout -checkend 86400 >/dev/null &&
    openssl x509 -in "$CERTS/cert.pem" -noout -checkip "$GATEWAY" | grep -q 'does match'; then
    return 0
  fi
  new_key "$CERTS/ca.key"
  openssl req -x509 -new -key "$CERTS/ca.key" -days 30 -subj /CN=byop-local-ca -out "$CERTS/ca.pem"
  new_key "$CERTS/key.pem"
  openssl req -new -key "$CERTS/key.pem" -subj /CN=byop-local -out "$CERTS/request.pem"
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:%s\n' "$GATEWAY" >"$CERTS/extensions"
  openssl x509 -req -in "$CERTS/request.pem" -CA "$CERTS/ca.pem" -CAkey "$CERTS/ca.key" \
    -CAcreateserial -days 30 -extfile "$CERTS/extensions" -out "$CERTS/cert.pem" 2>/dev/null
  step "local certificates made"
}

# Our own engine trusts the registry; its /etc/docker is a private folder (see engine.sh).
trust_registry() {
  local dir=$BYOP_STATE/engine/etc-docker/certs.d/$GATEWAY:$REGISTRY_PORT
  [ -n "$OWN_ENGINE" ] || return 0
  mkdir -p "$dir"
  cp "$CERTS/ca.pem" "$dir/ca.crt"
}

# registry_storage FOLDER: the part that both registries share. No cache of blob descriptors:
# it would keep naming blobs that garbage collection has removed.
registry_storage() {
  cat <<Y
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $1}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
Y
}

# mirror_config ADDRESS FILE
mirror_config() {
  { registry_storage "$BYOP_STATE/registry/mirror"; printf 'http: {addr: "%s"}\n' "$1"; } | write_file "$2"
}

# A user's engine pushes to loopback, the only place where it accepts plain HTTP unasked.
push_host() {
  if [ -n "$OWN_ENGINE" ]; then PUSH_HOST=$GATEWAY:$MIRROR_PORT; else PUSH_HOST=127.0.0.1:$MIRROR_PORT; fi
}

# With a public hub nobody is told to pull from it; tests push to it all the same.
mirror_up() {
  push_host
  if ! running mirror; then
    mirror_config "$GATEWAY:$MIRROR_PORT" "$BYOP_STATE/registry/mirror.yml"
    spawn mirror docker-registry serve "$BYOP_STATE/registry/mirror.yml"
  fi
  if [ -z "$OWN_ENGINE" ] && ! running mirror-push; then
    mirror_config "$PUSH_HOST" "$BYOP_STATE/registry/mirror-push.yml"
    spawn mirror-push docker-registry serve "$BYOP_STATE/registry/mirror-push.yml"
  fi
  serves 10 mirror curl -sf -m 2 "http://$GATEWAY:$MIRROR_PORT/v2/" || die "the pull mirror did not start, see $(log_file mirror)"
  [ -n "$OWN_ENGINE" ] || serves 10 mirror-push curl -sf -m 2 "http://$PUSH_HOST/v2/" ||
    die "the pull mirror's other address did not come up, see $(log_file mirror-push)"
  step "pull mirror up: http://$GATEWAY:$MIRROR_PORT"
}

# --- the product's registry ---------------------------------------------------------------

# With the run that uses it, and gone with that: a repository of an earlier run would spare a later one its pushes.
REGISTRY_DATA=${BYOP_RUN:-$BYOP_STATE/run}/registry

token_certificate() { printf '%s/registry-token.crt' "$DATA_DIR"; }

registry_config() {
  {
    registry_storage "$REGISTRY_DATA"
    cat <<Y
auth:
  token:
    realm: http://$GATEWAY:$API_PORT/registry/token
    service: byop-registry
    issuer: byop-engine
    rootcertbundle: $(token_certificate)
http:
  addr: $GATEWAY:$REGISTRY_PORT
  tls: {certificate: $CERTS/cert.pem, key: $CERTS/key.pem}
Y
  } | write_file "$BYOP_STATE/registry/registry.yml"
}

registry_answers() {
  [ "$(curl -s -m 2 --cacert "$CERTS/ca.pem" -o /dev/null -w '%{http_code}' "https://$GATEWAY:$REGISTRY_PORT/v2/")" = 401 ]
}

# The registry trusts tokens by the API's certificate, so that must exist first.
registry_start() {
  [ -s "$(token_certificate)" ] || die "no $(token_certificate); run 'api init' first (BYOP_DATA_DIR=$DATA_DIR)"
  registry_config
  stop registry
  mkdir -p "$REGISTRY_DATA"
  spawn registry docker-registry serve "$BYOP_STATE/registry/registry.yml"
  serves 10 registry registry_answers || die "the registry did not start, see $(log_file registry)"
  step "registry up: $GATEWAY:$REGISTRY_PORT, tokens from http://$GATEWAY:$API_PORT/registry/token"
}

# Removes blobs that no manifest names any more; the registry must not take pushes meanwhile.
registry_collect() {
  running registry || die "the registry is not up"
  stop registry
  docker-registry garbage-collect --delete-untagged "$BYOP_STATE/registry/registry.yml" >"$(log_file registry-gc)" 2>&1
  registry_start
}

# --- ACME and DNS ---------------------------------------------------------------------------

pebble_config() {
  write_file "$BYOP_STATE/acme/pebble.json" <<J
{"pebble": {
  "listenAddress": "$GATEWAY:$ACME_PORT",
  "managementListenAddress": "$GATEWAY:$ACME_ADMIN_PORT",
  "certificate": "$CERTS/cert.pem",
  "privateKey": "$CERTS/key.pem",
  "httpPort": 80,
  "tlsPort": 443,
  "ocspResponderURL": "",
  "externalAccountBindingRequired": false
}}
J
}

acme_get() { curl -sf -m 3 --cacert "$CERTS/ca.pem" "https://$GATEWAY:$1"; }

# The authority makes a new root at each start; it is fetched then.
acme_up() {
  if ! running dns; then
    spawn dns pebble-challtestsrv -defaultIPv4 '' -defaultIPv6 '' -dns01 "$GATEWAY:$DNS_PORT" \
      -http01 '' -https01 '' -tlsalpn01 '' -management "$GATEWAY:$DNS_ADMIN_PORT"
    serves 10 dns curl -s -m 2 "http://$GATEWAY:$DNS_ADMIN_PORT/" || die "DNS did not start, see $(log_file dns)"
  fi
  running pebble && [ -s "$BYOP_STATE/acme/root.pem" ] && return 0
  stop pebble
  pebble_config
  # A few rejected nonces are part of the protocol; clients must live with them.
  spawn pebble env PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=5 \
    pebble -config "$BYOP_STATE/acme/pebble.json" -dnsserver "$GATEWAY:$DNS_PORT"
  serves 15 pebble acme_get "$ACME_PORT/dir" || die "the ACME authority did not start, see $(log_file pebble)"
  acme_get "$ACME_ADMIN_PORT/roots/0" | write_file "$BYOP_STATE/acme/root.pem"
  step "ACME authority up: https://$GATEWAY:$ACME_PORT/dir"
}

# dns set NAME IP | dns remove NAME. A name has one address: the authority would ask any of several.
dns_command() {
  local verb=${1:-} name=${2:-} address=${3:-}
  local usage="usage: env.sh dns set NAME IP | dns remove NAME"
  [[ $name =~ ^[A-Za-z0-9._-]+$ ]] || die "$usage"
  dns_admin clear-a "{\"host\":\"$name\"}"
  case $verb in
    set)
      [[ $address =~ ^[0-9]+(\.[0-9]+){3}$ ]] || die "not an IPv4 address: $address"
      dns_admin add-a "{\"host\":\"$name\",\"addresses\":[\"$address\"]}"
      ;;
    remove) ;;
    *) die "$usage" ;;
  esac
}

dns_admin() { curl -sSf -m 5 -d "$2" "http://$GATEWAY:$DNS_ADMIN_PORT/$1" >/dev/null; }

SERVICES=(pebble dns registry mirror mirror-push)
services_down() {
  local name
  "$LIB/git-server.sh" stop
  "$LIB/postgres.sh" stop
  for name in "${SERVICES[@]}"; do stop "$name" 3; done
}

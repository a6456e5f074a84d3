#!/bin/bash
# Git repositories over HTTP and SSH, for tests and the quickstart.
#
#   git-server.sh start [http]             both servers, on the environment's gateway address, or only the one for HTTP
#   git-server.sh add NAME DIR [TOKEN]     a repository with the folder's content; called again,
#                                          it gets a further commit if the content has changed.
#                                          With TOKEN, HTTP wants it as the password.
#   git-server.sh key NAME PUBLIC_KEY_FILE lets a deploy key read that one repository over SSH
#   git-server.sh stop
set -euo pipefail
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in layout steps packages ports; do
  # shellcheck source=/dev/null
  . "$LIB/$part.sh"
done
GIT=$BYOP_STATE/git
SOURCE='' # the folder being added

gateway() {
  [ -s "$ENV_FILE" ] || die "the environment is not up; run env.sh up"
  GATEWAY=$(sed -n 's/^export BYOP_GATEWAY=//p' "$ENV_FILE")
}

valid_name() { [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || die "not a repository name: $1"; }

print_urls() {
  echo "http://$GATEWAY:$GIT_HTTP_PORT/$1.git"
  echo "ssh://git@$GATEWAY:$GIT_SSH_PORT/$1.git"
}

# The same content gives the same commit id on every machine: author and dates are fixed,
# and each further commit is one minute later.
commit_tree() {
  local repo=$1 tree parent='' count=0
  export GIT_DIR=$repo GIT_WORK_TREE=$SOURCE GIT_INDEX_FILE=$repo/index.tmp
  export GIT_AUTHOR_NAME=Example GIT_AUTHOR_EMAIL=example@byop.test
  export GIT_COMMITTER_NAME=Example GIT_COMMITTER_EMAIL=example@byop.test
  git -c core.excludesFile=/dev/null -c core.autocrlf=false add -A .
  tree=$(git write-tree)
  rm -f "$GIT_INDEX_FILE"
  if parent=$(git rev-parse -q --verify refs/heads/main); then
    count=$(git rev-list --count main)
    [ "$(git rev-parse 'main^{tree}')" != "$tree" ] || return 0
  fi
  export GIT_AUTHOR_DATE="$((1767225600 + count * 60)) +0000"
  export GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
  git update-ref refs/heads/main "$(git commit-tree "$tree" ${parent:+-p "$parent"} -m "Version $((count + 1))")"
}

add() {
  local name=$1 repo=$GIT/repositories/$1.git
  SOURCE=$(cd "$2" && pwd)
  valid_name "$name"
  mkdir -p "$GIT/repositories" "$GIT/tokens"
  [ -d "$repo" ] || git -c init.defaultBranch=main init -q --bare "$repo"
  (cd "$SOURCE" && commit_tree "$repo")
  chmod -R a+rX "$GIT/repositories"
  if [ -n "${3:-}" ]; then
    printf '%s' "$3" | write_file "$GIT/tokens/$name"
    chmod 600 "$GIT/tokens/$name"
  fi
  print_urls "$name"
}

# One key may read one repository; the server runs nothing else for it.
key() {
  local name=$1 public line
  valid_name "$name"
  public=$(awk 'NR == 1 {print $1 " " $2}' "$2")
  [[ $public =~ ^(ssh|ecdsa)-[a-z0-9-]+\ [A-Za-z0-9+/=]+$ ]] || die "not a public key: $2"
  line="restrict,command=\"/srv/entry $name\" $public"
  touch "$GIT/authorized_keys"
  grep -qxF "$line" "$GIT/authorized_keys" || echo "$line" >>"$GIT/authorized_keys"
  chmod 644 "$GIT/authorized_keys"
}

ssh_entry() {
  write_file "$GIT/entry" <<'EOF'
#!/bin/sh
# The only thing that a deploy key can do: read the repository that it belongs to.
name=$1
case $SSH_ORIGINAL_COMMAND in
  "git-upload-pack '/$name.git'" | "git-upload-pack '/$name'") ;;
  *) echo "this key reads $name.git only" >&2; exit 1 ;;
esac
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
exec git-upload-pack "/srv/repositories/$name.git"
EOF
  chmod 755 "$GIT/entry"
}

# The account that the URLs name. It is removed at `stop` if it was made here.
git_account() {
  if ! id git >/dev/null 2>&1; then
    useradd --system --no-create-home --home-dir / --shell /bin/sh git
    usermod -p '*' git
    : >"$GIT/made-account"
  fi
}

sshd_config() {
  write_file "$GIT/sshd_config" <<EOF
Port $GIT_SSH_PORT
ListenAddress $GATEWAY
HostKey $GIT/host_key
AuthorizedKeysFile /srv/authorized_keys
AllowUsers git
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
EOF
}

# The state folder may lie where only root can look; the account sees it at /srv. sshd
# overwrites its environment, and our mark with it: the marked process is the one that holds
# its pid namespace, and with it all sessions end.
start_ssh() {
  ! running git-ssh || return 0
  require sshd openssh-server
  git_account
  ssh_entry
  touch "$GIT/authorized_keys"
  [ -s "$GIT/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C git -f "$GIT/host_key"
  sshd_config
  mkdir -p /run/sshd
  # shellcheck disable=SC2016  # the inner shell expands its own arguments
  spawn git-ssh unshare --mount --pid --fork --kill-child --mount-proc -- sh -c 'mount --bind "$1" /srv && exec "$2" -D -e -f "$3"' \
    sh "$GIT" "$(command -v sshd)" "$GIT/sshd_config"
  serves 10 git-ssh ssh-keyscan -p "$GIT_SSH_PORT" -t ed25519 "$GATEWAY" || die "sshd did not start, see $(log_file git-ssh)"
}

start_http() {
  ! running git-http || return 0
  spawn git-http python3 "$LIB/git_http.py" "$GATEWAY" "$GIT_HTTP_PORT" "$GIT/repositories" "$GIT/tokens"
  serves 10 git-http curl -s -m 2 -o /dev/null "http://$GATEWAY:$GIT_HTTP_PORT/" || die "the Git HTTP server did not start, see $(log_file git-http)"
}

start() {
  need_root
  require git git python3 python3 ssh-keyscan openssh-client curl curl
  mkdir -p "$GIT/repositories" "$GIT/tokens"
  chmod 755 "$GIT" "$GIT/repositories"
  start_http
  echo "http://$GATEWAY:$GIT_HTTP_PORT/"
  [ "${1:-}" != http ] || return 0
  start_ssh
  echo "ssh://git@$GATEWAY:$GIT_SSH_PORT/"
  echo "host key: $(cut -d' ' -f1,2 "$GIT/host_key.pub")"
}

stop_all() {
  stop git-http 3
  stop git-ssh 3 KILL
  if [ -e "$GIT/made-account" ]; then
    userdel git 2>/dev/null || true
    rm -f "$GIT/made-account"
  fi
}

case ${1:-} in
  start) gateway && start "${2:-}" ;;
  stop) stop_all ;;
  add) [ $# -ge 3 ] || die "usage: git-server.sh add NAME DIR [TOKEN]"; gateway && add "$2" "$3" "${4:-}" ;;
  key) [ $# = 3 ] || die "usage: git-server.sh key NAME PUBLIC_KEY_FILE"; key "$2" "$3" ;;
  *) die "usage: git-server.sh start|stop|add|key" ;;
esac

#!/usr/bin/env bash
# Applies nixops4/examples/garage to a throwaway Garage of one node, uploads with the
# key that was made, and shows what happens. DEMO_BIN names a folder with executables
# that are built already.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/showing.sh"

# --- what it needs ---------------------------------------------------------------

garage=
for program in "${XDG_CACHE_HOME:-$HOME/.cache}/nixops4-resources/tools/bin/garage" "$(command -v garage || true)"; do
  if [ -x "$program" ]; then garage=$program && break; fi
done
[ -n "$garage" ] || fail "found no garage; scripts/setup.sh garage compiles one, which takes some 17 minutes on two cores"
command -v curl >/dev/null || fail "found no curl, which uploads and downloads here"

# --- a place of its own, that goes away whatever happens ---------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/nixops4-resources-demo.XXXXXX")
mkdir "$work/home" "$work/node"
chmod 700 "$work" "$work/home"

clean_up() {
  if [ -s "$work/node/pid" ]; then kill -KILL "$(cat "$work/node/pid")" 2>/dev/null || true; fi
  rm -rf "$work"
}
clean_up_afterwards

find_executables

# --- the node ------------------------------------------------------------------------

heading "A Garage of our own, in a folder that goes away"
cd "$work"
garage() { "$garage" -c "$work/node/garage.toml" "$@" 9>&- 2>>"$work/node/said"; }
random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
(umask 077 && random >"$work/node/rpc-secret" && random >"$work/node/admin-token")

code() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }
is_taken() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
answers() { [ "$(code "$1" || true)" != 000 ]; }
start_node() {
  local port
  for _ in $(seq 20); do
    port=$((20000 + RANDOM % 30000))
    if is_taken $port || is_taken $((port + 1)) || is_taken $((port + 2)) || is_taken $((port + 3)); then continue; fi
    cat >"$work/node/garage.toml" <<CONFIG
metadata_dir = "$work/node/meta"
data_dir = "$work/node/data"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$port"
rpc_public_addr = "127.0.0.1:$port"
rpc_secret_file = "$work/node/rpc-secret"

[s3_api]
api_bind_addr = "127.0.0.1:$((port + 1))"
s3_region = "garage"

[s3_web]
bind_addr = "127.0.0.1:$((port + 2))"
root_domain = ".web.example.org"

[admin]
api_bind_addr = "127.0.0.1:$((port + 3))"
admin_token_file = "$work/node/admin-token"
CONFIG
    setsid "$garage" -c "$work/node/garage.toml" server 9>&- >"$work/node/log" 2>&1 &
    echo $! >"$work/node/pid"
    for _ in $(seq 100); do
      kill -0 "$(cat "$work/node/pid")" 2>/dev/null || break
      s3=http://127.0.0.1:$((port + 1)) web=http://127.0.0.1:$((port + 2)) admin=http://127.0.0.1:$((port + 3))
      if garage status >/dev/null && answers "$s3/" && answers "$web/" && answers "$admin/"; then return; fi
      sleep 0.1
    done
    # Only one node is known to whoever cleans up.
    kill -KILL "$(cat "$work/node/pid")" 2>/dev/null || true
  done
  fail "the node does not start: $(tail -n 5 "$work/node/log")"
}
start_node
garage layout assign --zone here --capacity 1G "$(garage node id --quiet | cut -d @ -f 1)" >/dev/null
garage layout apply --version 1 >/dev/null
say "Garage $("$garage" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/'): admin API at $admin, S3 at $s3"

(umask 077 && garage admin-token create --quiet deployer >"$work/home/token")
export XDG_STATE_HOME=$work/home/remembered
export NIXOPS4_SECRETS_STORES=main=sqlite:$work/home/secrets.db
export NIXOPS4_SECRETS_IDENTITY=$work/home/identity

# --- the deployment ------------------------------------------------------------------

sed -e "s|\.\./\.\./lib|$root/nixops4/lib|; s|http://garage1.example.org:3903|$admin|" \
  -e "s|https://s3.example.org|$s3|; s|/run/keys/garage-deployer|$work/home/token|" \
  "$root/nixops4/examples/garage/nixops4.nix" >"$work/nixops4.nix"

heading "An identity for the secrets store, and what applying would do"
say "The expression is nixops4/examples/garage/nixops4.nix, with the addresses of this node."
try nixops4-resources-secrets keygen "$NIXOPS4_SECRETS_IDENTITY"
try nixops4-resources plan

heading "Applying it"
try nixops4-resources apply

access_key() {
  nixops4-resources state show media --json |
    sed -n 's/.*"accessKeyId": *"\(GK[0-9a-f]*\)".*/\1/p' | head -n 1
}
# Through S3, as the key that was made. Its secret goes from the store to curl alone.
as_the_key() {
  {
    printf 'user = "%s:' "$(access_key)"
    nixops4-resources secret show garage/mastodon-media --to-pipe-or-file | tr -d '\n'
    echo '"'
  } | curl --silent --show-error --config - --aws-sigv4 aws:amz:garage:s3 \
    --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@"
}
status_of() { as_the_key --output /dev/null --write-out '%{http_code}' "$@"; }

heading "Uploading over S3 with the key that was made, and reading it as anybody"
echo "hello" >"$work/hello.txt"
uploaded=$(status_of --request PUT --header 'content-type: text/plain' \
  --data-binary "@$work/hello.txt" "$s3/mastodon-media/hello.txt")
[ "$uploaded" = 200 ] || fail "the upload should have worked, and ended with $uploaded"
say "PUT $s3/mastodon-media/hello.txt: $uploaded"
page() { curl --silent --header 'Host: mastodon-media.web.example.org' "$web/hello.txt"; }
[ "$(page)" = hello ] || fail "the website should say hello, and says $(page)"
say "GET http://mastodon-media.web.example.org/hello.txt: $(page)"

heading "Applying it again: nothing to do"
try nixops4-resources apply

heading "What carries our mark"
try garage bucket info mastodon-media

heading "Somebody changes something behind our back"
try garage bucket website --deny mastodon-media
try garage bucket deny --write mastodon-media --key "$(access_key)"
state=0
try nixops4-resources plan --detailed-exitcode || state=$?
[ "$state" -eq 2 ] || fail "plan should have seen it (exit code 2), and ended with $state"

heading "Applying it repairs that"
try nixops4-resources apply
[ "$(page)" = hello ] || fail "the website should be back"

heading "The end: data stays, out of service"
try nixops4-resources destroy --yes
gone=$(code --header 'Host: mastodon-media.web.example.org' "$web/hello.txt")
[ "$gone" = 404 ] || fail "the website should be gone, and answers $gone"
# To its end: `garage` aborts where nobody reads the rest.
garage bucket info mastodon-media | grep "Objects: *1" >/dev/null || fail "the object should be kept"
say "The object is still there, and nobody can reach it."

heading "Done"
say "The node and everything else is removed now. Next: docs/guides/garage.md."

#!/usr/bin/env bash
# Applies nixops4/examples/demo to a throwaway PostgreSQL server, and shows what
# happens; with --with-garage the same with Garage afterwards. DEMO_BIN names a folder
# with executables that are built already.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/showing.sh"
case ${*:-} in
  '') next=: ;;
  --with-garage) next=$root/scripts/demo-garage.sh ;;
  *) echo "usage: $0 [--with-garage]" >&2 && exit 2 ;;
esac

# --- what it needs ---------------------------------------------------------------

postgres_bin=
for folder in /usr/lib/postgresql/*/bin "$(pg_config --bindir 2>/dev/null || true)"; do
  if [ -x "$folder/postgres" ]; then postgres_bin=$folder; fi
done
[ -n "$postgres_bin" ] || fail "found no PostgreSQL server; scripts/setup.sh postgresql says how to get one"
psql=$postgres_bin/psql
[ -x "$psql" ] || psql=psql

# postgres refuses to run as root.
server_user=
if [ "$(id -u)" -eq 0 ]; then
  for name in postgres nobody; do
    if getent passwd "$name" >/dev/null; then server_user=$name && break; fi
  done
fi
as_server_user() {
  if [ -n "$server_user" ]; then
    setpriv --reuid "$server_user" --regid "$(id -g "$server_user")" --clear-groups -- "$@"
  else
    "$@"
  fi
}

# --- a place of its own, that goes away whatever happens ---------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/nixops4-resources-demo.XXXXXX")
chmod 711 "$work"
mkdir "$work/server" "$work/home"
chmod 700 "$work/home"
if [ -n "$server_user" ]; then chown "$server_user" "$work/server"; fi

clean_up() {
  if [ -s "$work/server/data/postmaster.pid" ]; then
    kill -QUIT "$(head -n 1 "$work/server/data/postmaster.pid")" 2>/dev/null || true
    for _ in $(seq 100); do
      [ -e "$work/server/data/postmaster.pid" ] || break
      sleep 0.05
    done
  fi
  rm -rf "$work"
}
clean_up_afterwards

find_executables

# --- the server ----------------------------------------------------------------------

export NIXOPS4_SECRETS_STORES=main=sqlite:$work/home/secrets.db
export NIXOPS4_SECRETS_IDENTITY=$work/home/identity
# A secret's value, for a pipe or a file.
secret() {
  nixops4-resources secret show "$1" --to-pipe-or-file
}

heading "A secrets store, with the password that the server's superuser will have"
say "Every password of this demo is in there, encrypted; all else has references to it."
try nixops4-resources-secrets keygen "$NIXOPS4_SECRETS_IDENTITY"
head -c 24 /dev/urandom | base64 | tr -d '/+=' |
  try nixops4-resources secret set postgresql/administrator --owner demo

heading "A PostgreSQL server of our own, in a folder that goes away"
(umask 077 && secret postgresql/administrator >"$work/server/admin-password")
if [ -n "$server_user" ]; then chown "$server_user" "$work/server/admin-password"; fi
as_server_user "$postgres_bin/initdb" --pgdata "$work/server/data" --username postgres \
  --auth scram-sha-256 --pwfile "$work/server/admin-password" --encoding UTF8 --locale C.UTF-8 \
  --no-sync 9>&- >"$work/home/initdb.log" 2>&1 || fail "initdb failed: $(tail -n 5 "$work/home/initdb.log")"
rm "$work/server/admin-password"

start_server() {
  local port
  for _ in $(seq 20); do
    port=$((20000 + RANDOM % 30000))
    if as_server_user "$postgres_bin/pg_ctl" --pgdata "$work/server/data" --wait --silent \
      --log "$work/server/log" \
      --options "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='$work/server' -c fsync=off" \
      start 9>&- >/dev/null 2>&1; then
      export DEMO_PORT=$port
      return
    fi
  done
  fail "the server does not start: $(tail -n 5 "$work/server/log")"
}
start_server
say "PostgreSQL $("$postgres_bin/postgres" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/') listens on 127.0.0.1:$DEMO_PORT"

export DEMO_HOST=127.0.0.1 DEMO_USER=postgres
export DEMO_STATE=$work/home/state.sqlite XDG_STATE_HOME=$work/home/remembered

as_admin() {
  PGPASSFILE=$work/home/pgpass-admin "$psql" -XAtq -h 127.0.0.1 -p "$DEMO_PORT" -U postgres -d postgres -c "$1" 9>&-
}
pgpass() { # file user secret
  (umask 077 && printf '127.0.0.1:%s:*:%s:%s\n' "$DEMO_PORT" "$2" "$(secret "$3")" >"$1")
}
pgpass "$work/home/pgpass-admin" postgres postgresql/administrator

# --- the deployment ------------------------------------------------------------------

cd "$root/nixops4/examples/demo"

heading "What applying would do"
say "The expression is nixops4/examples/demo/nixops4.nix."
try nixops4-resources plan

heading "Applying it"
try nixops4-resources apply

log_in() {
  pgpass "$work/home/pgpass-guestbook" guestbook guestbook/database
  PGPASSFILE=$work/home/pgpass-guestbook "$psql" -X -h 127.0.0.1 -p "$DEMO_PORT" \
    -U guestbook -d guestbook 9>&- -c "$1"
}
heading "Logging in as the new role, with the password that was made for it"
say "The password comes out of the store for psql alone; no plan, state or log has it."
log_in "CREATE TABLE entry (at timestamptz DEFAULT now(), text text)"
log_in "INSERT INTO entry (text) VALUES ('hello') RETURNING text"
log_in "SELECT current_user, current_database(), count(*) AS entries FROM entry"

heading "Applying it again: nothing to do"
try nixops4-resources apply

heading "Somebody changes something behind our back"
tampering="ALTER ROLE guestbook CONNECTION LIMIT 1 PASSWORD 'changed' CREATEDB; ALTER DATABASE guestbook_archive OWNER TO postgres"
say "postgres=# $tampering"
as_admin "$tampering"
state=0
try nixops4-resources plan --detailed-exitcode || state=$?
[ "$state" -eq 2 ] || fail "plan should have seen it (exit code 2), and ended with $state"
say "The same for cron: without evaluating the expression, one line for each finding."
state=0
try nixops4-resources drift || state=$?
[ "$state" -eq 2 ] || fail "drift should have seen it (exit code 2), and ended with $state"

heading "Applying it repairs that"
try nixops4-resources apply
log_in "SELECT current_user, count(*) AS entries FROM entry"
state=0
nixops4-resources plan --detailed-exitcode >/dev/null || state=$?
[ "$state" -eq 0 ] || fail "there should be nothing left to do, but plan ended with $state"

heading "The archive leaves the expression"
later=$work/home/nixops4.nix
sed -e "s|\.\./\.\./lib|$root/nixops4/lib|; s|\./settings|$root/nixops4/examples/demo/settings|" \
  -e '/members.archive = {/,/^        };/d' nixops4.nix >"$later"
cd "$work/home"
say "It stays as it is until it is collected. Its deletion policy is to retain data."
try nixops4-resources plan
try nixops4-resources gc --yes
databases() { as_admin "SELECT string_agg(datname || ':' || datallowconn, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE 'guest%'"; }
[ "$(databases)" = "guestbook:true guestbook_archive:false" ] || fail "the archive should be kept, out of service: $(databases)"

heading "A role that was there before comes into the state"
as_admin "CREATE ROLE reporter NOLOGIN CONNECTION LIMIT 2"
sed -i 's|^    members.guestbook =|    members.reporter = {\
      type = providers.postgresql.role;\
      inputs = {\
        inherit connection;\
        name = "reporter";\
        login = false;\
        adopt = true;\
      };\
    };\
&|' "$later"
try nixops4-resources import reporter
try nixops4-resources apply

heading "Who read the superuser's password"
say "Every process that resolved the reference is on record, and no value is."
try nixops4-resources secret audit postgresql/administrator --limit 5

heading "The end: data stays, out of service"
try nixops4-resources destroy --yes
[ "$(databases)" = "guestbook:false guestbook_archive:false" ] || fail "the data should be kept, out of service: $(databases)"

heading "Done"
say "The server and everything else is removed now. Next: README.md, and docs/guides/lifecycle.md."
DEMO_BIN=$DEMO_BIN "$next"

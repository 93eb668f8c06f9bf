//! What the catalog says of everything that the processes manage: a line for each
//! role, membership, database, entry of an access list, schema and extension.

use crate::town::Town;

/// Comments without what differs from run to run.
const COMMENT: &str = r"
    create function pg_temp.said(comment text) returns text language sql as $$
        select regexp_replace(regexp_replace(replace(coalesce(comment, ''), E'\n', '/'),
               ' (type|since)=\S+', '', 'g'), 'retained-since=\S+', 'retained') $$;
    create function pg_temp.who(role oid) returns text language sql as $$
        select case role when 0 then 'public' else pg_get_userbyid(role)::text end $$;
    create function pg_temp.entry(place text, owner oid, acl aclitem[]) returns setof text
        language sql as $$
        select format('%s to %s %s%s%s', place, pg_temp.who(grantee), privilege_type,
                      case when is_grantable then '*' else '' end,
                      case when grantor <> owner then ' by ' || pg_temp.who(grantor) else '' end)
        from aclexplode(acl) where grantee not in (owner, 0, 'manager'::regrole) $$;";

const SHARED: &str = r"
    select format('role %s limit=%s createdb=%s login=%s settings=%s comment=%s', rolname,
                  rolconnlimit, rolcreatedb, rolcanlogin,
                  (select array_to_string(setconfig, ' ') from pg_db_role_setting
                   where setrole = r.oid and setdatabase = 0),
                  pg_temp.said(shobj_description(r.oid, 'pg_authid')))
    from pg_roles r where rolname !~ '^(pg_|[pg][0-9]+$)'
                      and rolname not in ('postgres', 'manager', 'keeper');
    -- From 16 on whoever makes a role may administer it, and no more than that.
    select format('member %s of %s admin=%s', member::regrole, roleid::regrole, admin_option)
    from pg_auth_members m
    where roleid::regrole::text !~ '^pg_'
      and not (member = 'manager'::regrole and admin_option
               and to_jsonb(m) ->> 'inherit_option' = 'false'
               and to_jsonb(m) ->> 'set_option' = 'false');
    select format('database %s owner=%s limit=%s open=%s public=%s comment=%s', datname,
                  datdba::regrole, datconnlimit, datallowconn,
                  has_database_privilege('public', oid, 'connect'),
                  pg_temp.said(shobj_description(oid, 'pg_database')))
    from pg_database where datname not in ('postgres', 'template0', 'template1', 'load');
    select pg_temp.entry('database ' || datname, datdba, datacl) from pg_database
    where datname not in ('postgres', 'template0', 'template1', 'load');";

const INSIDE: &str = r"
    select pg_temp.entry('table ' || relname, relowner, relacl) from pg_class
    where relnamespace = 's'::regnamespace;
    select pg_temp.entry(format('column %s.%s', relname, attname), relowner, attacl)
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where relnamespace = 's'::regnamespace;
    select pg_temp.entry('future of ' || defaclrole::regrole, defaclrole, defaclacl)
    from pg_default_acl;
    select format('schema %s owner=%s comment=%s', nspname, nspowner::regrole,
                  pg_temp.said(obj_description(oid, 'pg_namespace')))
    from pg_namespace where nspname !~ '^pg_'
                        and nspname not in ('public', 'information_schema', 's');
    select format('extension %s', extname) from pg_extension
    where pg_temp.said(obj_description(oid, 'pg_extension')) ~ 'nixops4-resources: owner=load$';
    select format('extension %s of nobody', extname) from pg_extension
    where extname <> 'plpgsql'
      and pg_temp.said(obj_description(oid, 'pg_extension')) !~ 'nixops4-resources: owner=load$';";

/// Its lines, sorted.
pub(crate) fn read(town: &Town) -> Vec<String> {
    let shared = town.server.sql(&format!("{COMMENT}{SHARED}"));
    let inside = town.server.sql_in("load", &format!("{COMMENT}{INSIDE}"));
    let lines = shared.lines().chain(inside.lines());
    let mut lines: Vec<_> = lines.map(ToOwned::to_owned).collect();
    lines.sort_unstable();
    lines
}

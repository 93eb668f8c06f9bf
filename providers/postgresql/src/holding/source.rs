//! Where the catalog keeps the privileges of each class of objects.

use crate::acl::Class;

/// The objects of a class: oid, schema, name, part, owner, access list. No list
/// stands for the default one.
pub(super) fn source(class: Class) -> &'static str {
    match class {
        Class::Database => {
            "SELECT oid, NULL::text, datname::text, NULL::text, datdba,
                    coalesce(datacl, acldefault('d', datdba)) FROM pg_database"
        }
        Class::Tablespace => {
            "SELECT oid, NULL::text, spcname::text, NULL::text, spcowner,
                    coalesce(spcacl, acldefault('t', spcowner)) FROM pg_tablespace"
        }
        Class::Schema => {
            "SELECT oid, NULL::text, nspname::text, NULL::text, nspowner,
                    coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace"
        }
        Class::Language => {
            "SELECT oid, NULL::text, lanname::text, NULL::text, lanowner,
                    coalesce(lanacl, acldefault('l', lanowner)) FROM pg_language"
        }
        Class::ForeignServer => {
            "SELECT oid, NULL::text, srvname::text, NULL::text, srvowner,
                    coalesce(srvacl, acldefault('S', srvowner)) FROM pg_foreign_server"
        }
        Class::ForeignDataWrapper => {
            "SELECT oid, NULL::text, fdwname::text, NULL::text, fdwowner,
                    coalesce(fdwacl, acldefault('F', fdwowner)) FROM pg_foreign_data_wrapper"
        }
        Class::Table => {
            "SELECT c.oid, n.nspname::text, c.relname::text, NULL::text, c.relowner,
                    coalesce(c.relacl, acldefault('r', c.relowner))
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        }
        Class::Sequence => {
            "SELECT c.oid, n.nspname::text, c.relname::text, NULL::text, c.relowner,
                    coalesce(c.relacl, acldefault('s', c.relowner))
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'"
        }
        Class::Column => {
            "SELECT c.oid, n.nspname::text, c.relname::text, a.attname::text, c.relowner,
                    coalesce(a.attacl, acldefault('c', c.relowner))
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        }
        Class::Function => {
            "SELECT p.oid, n.nspname::text, p.proname::text, p.oid::regprocedure::text, p.proowner,
                    coalesce(p.proacl, acldefault('f', p.proowner))
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        }
        // Arrays, multiranges and the types of tables' rows follow another type.
        Class::Type => {
            "SELECT t.oid, n.nspname::text, t.typname::text, NULL::text, t.typowner,
                    coalesce(t.typacl, acldefault('T', t.typowner))
             FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
             WHERE t.typtype <> 'm'
               AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
               AND (t.typrelid = 0
                    OR EXISTS (SELECT FROM pg_class WHERE oid = t.typrelid AND relkind = 'c'))"
        }
        // Only ever made in the future.
        Class::LargeObject => {
            "SELECT 0::oid, NULL::text, NULL::text, NULL::text, 0::oid, NULL::aclitem[] WHERE false"
        }
    }
}

/// The default privileges of each role. Those of one schema are added to those of
/// all, which without an entry are the built-in ones.
pub(super) fn future_source(class: Class) -> String {
    let (object_type, default_type) = match class {
        Class::Sequence => ('S', 's'),
        Class::Function => ('f', 'f'),
        Class::Type => ('T', 'T'),
        Class::Schema => ('n', 'n'),
        Class::LargeObject => ('L', 'L'),
        _ => ('r', 'r'),
    };
    format!(
        "SELECT r.oid, n.nspname::text, r.rolname::text, NULL::text, r.oid,
                coalesce(d.defaclacl,
                         CASE WHEN n.oid IS NULL THEN acldefault('{default_type}', r.oid) END)
         FROM pg_roles r LEFT JOIN pg_namespace n ON n.nspname = $2::text
         LEFT JOIN pg_default_acl d ON d.defaclrole = r.oid AND d.defaclobjtype = '{object_type}'
             AND d.defaclnamespace = coalesce(n.oid, 0::oid)"
    )
}

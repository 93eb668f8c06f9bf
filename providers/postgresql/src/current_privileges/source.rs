//! Where the catalog keeps the privileges of each class of objects.

use crate::acl::Class;

/// The objects of a class: oid, name, part, owner, access list. No list stands for the
/// default one. `s` is the schema.
pub(super) fn source(class: Class) -> &'static str {
    match class {
        Class::Database => {
            "SELECT oid, datname, NULL::text, datdba, coalesce(datacl, acldefault('d', datdba))
             FROM pg_database"
        }
        Class::Tablespace => {
            "SELECT oid, spcname, NULL::text, spcowner, coalesce(spcacl, acldefault('t', spcowner))
             FROM pg_tablespace"
        }
        Class::Schema => {
            "SELECT oid, nspname, NULL::text, nspowner, coalesce(nspacl, acldefault('n', nspowner))
             FROM pg_namespace"
        }
        Class::Language => {
            "SELECT oid, lanname, NULL::text, lanowner, coalesce(lanacl, acldefault('l', lanowner))
             FROM pg_language"
        }
        Class::ForeignServer => {
            "SELECT oid, srvname, NULL::text, srvowner, coalesce(srvacl, acldefault('S', srvowner))
             FROM pg_foreign_server"
        }
        Class::ForeignDataWrapper => {
            "SELECT oid, fdwname, NULL::text, fdwowner, coalesce(fdwacl, acldefault('F', fdwowner))
             FROM pg_foreign_data_wrapper"
        }
        Class::Table => {
            "SELECT oid, relname, NULL::text, relowner, coalesce(relacl, acldefault('r', relowner))
             FROM pg_class WHERE relnamespace = s.oid AND relkind IN ('r', 'p', 'v', 'm', 'f')"
        }
        Class::Sequence => {
            "SELECT oid, relname, NULL::text, relowner, coalesce(relacl, acldefault('s', relowner))
             FROM pg_class WHERE relnamespace = s.oid AND relkind = 'S'"
        }
        Class::Column => {
            "SELECT c.oid, c.relname, a.attname::text, c.relowner,
                    coalesce(a.attacl, acldefault('c', c.relowner))
             FROM pg_class c
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relnamespace = s.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        }
        Class::Function => {
            "SELECT oid, proname, oid::regprocedure::text, proowner,
                    coalesce(proacl, acldefault('f', proowner))
             FROM pg_proc WHERE pronamespace = s.oid"
        }
        // Arrays, multiranges and the types of tables' rows follow another type.
        Class::Type => {
            "SELECT t.oid, t.typname, NULL::text, t.typowner,
                    coalesce(t.typacl, acldefault('T', t.typowner))
             FROM pg_type t
             WHERE t.typnamespace = s.oid AND t.typtype <> 'm'
               AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
               AND (t.typrelid = 0
                    OR EXISTS (SELECT FROM pg_class WHERE oid = t.typrelid AND relkind = 'c'))"
        }
        // Only ever made in the future.
        Class::LargeObject => {
            "SELECT 0::oid, NULL::name, NULL::text, 0::oid, NULL::aclitem[] WHERE false"
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
        "SELECT r.oid, r.rolname, NULL::text, r.oid,
                coalesce(d.defaclacl,
                         CASE WHEN s.oid IS NULL THEN acldefault('{default_type}', r.oid) END)
         FROM pg_roles r
         LEFT JOIN pg_default_acl d ON d.defaclrole = r.oid AND d.defaclobjtype = '{object_type}'
             AND d.defaclnamespace = coalesce(s.oid, 0::oid)"
    )
}

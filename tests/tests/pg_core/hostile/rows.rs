//! What no server takes. Each line has fields, which replace those of the kind's
//! usual inputs, the input to blame, and words of what is said about it.

/// Of roles that are named `x`.
pub(super) const ROLES: &str = r#"
{"name": ""} => /name: can't be empty
{"name": "a\u0000b"} => /name: NUL
{"name": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"} => /name: 64 bytes
{"name": "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü"} => /name: 64 bytes
{"name": 5} => /name: expected a text
{"name": ["x"]} => /name: expected a text
{"name": "pg_mine"} => /name: keeps the name
{"name": "public"} => /name: keeps the name
{"name": "none"} => /name: keeps the name
{"name": "standing"} => /adopt: carries no mark
{"nmae": "x"} => /nmae: unknown field
{"login": "yes"} => /login: expected true or false
{"connectionLimit": -2} => /connectionLimit: -1 for no limit
{"connectionLimit": 3000000000} => /connectionLimit: to 2147483647
{"validUntil": "tomorrow"} => /validUntil: write one like
{"validUntil": "2030-02-30T00:00:00Z"} => /validUntil: write one like
{"validUntil": "2030-01-01'; DROP ROLE postgres; --"} => /validUntil: write one like
{"memberOf": ["x"]} => /memberOf: member of itself
{"memberOf": ["pg_database_owner"]} => /memberOf: cannot have explicit members
{"memberOf": ["missing"]} => /memberOf: declare what is missing
{"memberOf": ["a", 1]} => /memberOf/1: expected a text
{"memberOf": ["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]} => /memberOf/0: 64 bytes
{"reassignOwnedTo": "x"} => /reassignOwnedTo: can't keep what it owns
{"verifyPassword": true} => /verifyPassword: no password
{"password": "hunter2-hunter2"} => /password: by reference
{"password": {"file": "/nonexistent/secret"}} => /password/file: unable to read
{"settings": {"no_such_setting": "1"}} => /settings: unrecognized configuration parameter
{"settings": {"work_mem": "a lot"}} => /settings: invalid value for parameter
{"settings": {"max_connections": 5}} => /settings: cannot be changed
{"settings": {"": "1"}} => /settings/: can't be empty
{"settings": {"a/b~c": "\u0000"}} => /settings/a~1b~0c: NUL
{"settings": {"work_mem": ["1MB"]}} => /settings/work_mem: the value of a setting is
{"settings": {"jit": "on", "JIT": "off"}} => /settings/jit: same setting
{"settingsInDatabase": {"missing": {"jit": "on"}}} => /settingsInDatabase/missing: does not exist
{"settingsInDatabase": {"": {"jit": "on"}}} => /settingsInDatabase/: can't be empty
{"comment": "a\u0000b"} => /comment: NUL
{"comment": "a\nnixops4-resources: owner=other"} => /comment: mark of ownership
{"owner": "no spaces"} => /owner: can't be an owner
"#;

/// Of databases that are named `x`. `busy` is connected to.
pub(super) const DATABASES: &str = r#"
{"name": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"} => /name: 64 bytes
{"name": "postgres"} => /adopt: carries no mark
{"ownerRole": "missing"} => /ownerRole: role "missing" does not exist
{"ownerRole": "x\"; DROP DATABASE busy; --"} => /ownerRole: does not exist
{"template": "missing"} => /template: does not exist
{"template": "x"} => /template: copy of itself
{"template": "busy"} => /template: is connected to database "busy"
{"encoding": "KLINGON"} => /encoding: not a valid encoding name
{"encoding": "LATIN1", "locale": "C.UTF-8"} => /encoding: does not match locale
{"encoding": "LATIN1", "locale": "C", "template": "template1"} => /encoding: that of the template database "template1" (UTF8)
{"encoding": ""} => /encoding: can't be empty
{"locale": "xx_XX.UTF-8"} => /locale: invalid
{"collation": "'; DROP DATABASE busy; --"} => /collation: invalid
{"icuLocale": "de"} => /icuLocale: localeProvider = "icu"
{"builtinLocale": "C"} => /builtinLocale: localeProvider = "builtin"
{"localeProvider": "icu", "locale": "C.UTF-8", "template": "template0"} => /icuLocale: ICU
{"localeProvider": "magic"} => /localeProvider: is not one of
{"tablespace": "pg_global"} => /tablespace: pg_global
{"tablespace": "missing"} => /tablespace: does not exist
{"settings": {"work_mem": "-7"}} => /settings: outside the valid range
{"connectionLimit": "none"} => /connectionLimit: expected
{"extensions": ["no_such_extension"]} => /extensions: no extension "no_such_extension"
{"extensions": ["citext"], "allowConnections": false} => /extensions: takes no connections
{"connection": {"host": ""}} => /connection/host: can't be empty
{"connection": {"host": "127.0.0.1", "port": 70000}} => /connection/port: from 0 to 65535
"#;

/// Of schemas that are named `x`, in `shop`, where there is a foreign one, `s`.
pub(super) const SCHEMAS: &str = r#"
{"name": ""} => /name: can't be empty
{"name": "a\u0000b"} => /name: NUL
{"name": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"} => /name: 64 bytes
{"name": "pg_mine"} => /name: keeps the name
{"name": "information_schema"} => /name: keeps the name
{"name": "s"} => /adopt: carries no mark
{"database": "missing"} => /database: missing
{"database": null} => /database: missing
{"ownerRole": "missing"} => /ownerRole: role "missing" does not exist
{"ownerRole": "x\"; DROP SCHEMA s; --"} => /ownerRole: does not exist
{"ownerRole": ""} => /ownerRole: can't be empty
"#;

/// Of the extension `citext` in `shop`.
pub(super) const EXTENSIONS: &str = r#"
{"name": ""} => /name: can't be empty
{"name": "no_such_extension"} => /name: no extension "no_such_extension"
{"name": "citext\"; DROP TABLE t; --"} => /name: the server has no extension
{"name": "plpgsql"} => /adopt: carries no mark
{"name": "earthdistance"} => /cascade: required extension "cube"
{"version": ""} => /version: can't be empty
{"version": "99"} => /version: no version "99"
{"version": "1.6'; DROP TABLE t; --"} => /version: the server has no version
{"schema": "missing"} => /schema: schema "missing" does not exist
{"schema": "x\"; DROP TABLE t; --"} => /schema: does not exist
{"database": "missing"} => /database: missing
{"cascade": "yes"} => /cascade: expected true or false
"#;

/// Of SELECT on the table `t` of `shop` for `reader`.
pub(super) const GRANTS: &str = r#"
{"role": "missing"} => /role: there is no role "missing"
{"role": "PUBLIC"} => /role: in lower case
{"role": "reader, public"} => /role: there is no role
{"role": "public", "grantOption": true} => /grantOption: PUBLIC can't have
{"privileges": ["EXECUTE"]} => /privileges: there is no privilege EXECUTE
{"privileges": ["SELECT ON t TO reader; --"]} => /privileges/0: is not one of
{"privileges": "SELECT"} => /privileges: expected
{"privileges": [], "mode": "additive"} => /privileges: nothing to add
{"mode": "both"} => /mode: is not one of
{"objectType": "tabel"} => /objectType: is not one of
{"objects": []} => /objects: no tables are named
{"objects": ["missing"]} => /objects/0: has no table "missing"
{"objects": ["t", "T"]} => /objects/1: has no table "T"
{"objects": ["t", "t"]} => /objects/1: twice
{"objects": [""]} => /objects/0: can't be empty
{"objects": ["t; DROP TABLE t"]} => /objects/0: has no table
{"allObjects": true} => /allObjects: both
{"columns": ["missing"]} => /columns/0: column "missing"
{"columns": ["a", "a"]} => /columns/1: twice
{"columns": ["a"], "privileges": ["DELETE"]} => /privileges: columns have
{"columns": ["a"], "allObjects": true, "objects": []} => /columns: only tables
{"schema": null} => /schema: are in a schema
{"schema": "missing"} => /schema: schema "missing"
{"database": null} => /database: are in a database
{"database": "missing"} => /database: missing
{"futureBy": ["reader"]} => /futureBy: no names yet
{"allObjects": true, "objects": [], "futureBy": ["missing"]} => /futureBy/0: role "missing"
{"objectType": "database", "objects": ["shop"], "schema": null, "privileges": ["CONNECT"]} => /database: are in no database
{"objectType": "database", "objects": ["missing"], "schema": null, "database": null, "privileges": ["CONNECT"]} => /objects/0: "missing"
{"objectType": "schema", "objects": ["s"], "privileges": ["USAGE"]} => /schema: are in no schema
{"objectType": "language", "schema": null, "objects": ["klingon"], "privileges": ["USAGE"]} => /objects/0: "klingon"
{"objectType": "function", "objects": ["f"], "privileges": ["EXECUTE"]} => /objects/0: is no signature
{"objectType": "function", "objects": ["f(text)"], "privileges": ["EXECUTE"]} => /objects/0: has no function "f(text)"
{"objectType": "function", "objects": ["f(no_such_type)"], "privileges": ["EXECUTE"]} => /objects/0: has no function
{"objectType": "function", "objects": ["f(integer); DROP TABLE t; --"], "privileges": ["EXECUTE"]} => /objects/0: f(integer)
"#;

/// Of SELECT on the future tables of `standing` in `shop` for `reader`.
pub(super) const DEFAULTS: &str = r#"
{"creator": "missing"} => /creator: role "missing"
{"creator": "standing\" GRANT ALL ON TABLES TO public; --"} => /creator: role
{"role": "missing"} => /role: there is no role "missing"
{"role": "public", "grantOption": true} => /grantOption: PUBLIC can't have
{"schema": "missing"} => /schema: schema "missing"
{"database": "missing"} => /database: missing
{"objectType": "database"} => /objectType: is not one of
{"objectType": "schema", "schema": "s", "privileges": ["USAGE"]} => /schema: are in no schema
{"objectType": "largeObject", "schema": "s"} => /schema: are in no schema
{"privileges": ["EXECUTE"]} => /privileges: there is no privilege EXECUTE
{"privileges": ["ALL", "NONE"]} => /privileges/1: is not one of
{"privileges": [], "mode": "additive"} => /privileges: nothing to add
"#;

/// Of `a` in `other`; `c` is a member of `b`, and `b` of `a`.
pub(super) const MEMBERSHIPS: &str = r#"
{"group": "a"} => /group: member of itself
{"group": "b"} => /group: is a member of role
{"group": "c"} => /group: is a member of role
{"group": "missing"} => /group: role "missing" does not exist
{"group": "other, postgres"} => /group: does not exist
{"group": "public"} => /group: role "public" does not exist
{"group": "pg_database_owner"} => /group: cannot have explicit members
{"group": ""} => /group: can't be empty
{"role": "missing"} => /role: role "missing" does not exist
{"role": "pg_database_owner"} => /role: cannot be a member
{"role": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"} => /role: 64 bytes
{"admin": "yes"} => /admin: expected true or false
"#;

/// Of tenants that are named `y`.
pub(super) const TENANTS: &str = r#"
{"name": ""} => /name: can't be empty
{"name": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"} => /name: 64 bytes
{"name": "pg_mine"} => /name: keeps the name
{"name": "standing"} => /adopt: carries no mark
{"role": "standing"} => /adopt: carries no mark
{"role": "none"} => /role: keeps the name
{"database": "busy"} => /adopt: carries no mark
{"database": "a\u0000b"} => /database: NUL
{"password": "hunter2-hunter2"} => /password: by reference
{"password": {"env": "NO_SUCH_VARIABLE"}} => /password/env: NO_SUCH_VARIABLE
{"verifyPassword": true} => /verifyPassword: no password
{"connectionLimit": -2} => /connectionLimit: -1 for no limit
{"roleConnectionLimit": -2} => /roleConnectionLimit: -1 for no limit
{"host": ""} => /host: can't be empty
{"port": 70000} => /port: from 0 to 65535
{"encoding": "KLINGON"} => /encoding: not a valid encoding name
{"encoding": "LATIN1"} => /encoding: does not match locale
{"locale": "xx_XX.UTF-8"} => /locale: invalid
{"extensions": [""]} => /extensions/0: can't be empty
{"extensions": ["no_such_extension"]} => /extensions: no extension "no_such_extension"
"#;

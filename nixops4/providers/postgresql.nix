# Roles and databases of a PostgreSQL server, for upstream's `providers.postgresql`.
import ../lib/provider-module.nix ../../schemas/postgresql.json

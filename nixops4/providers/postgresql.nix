# Roles, databases, tenants and what they may do, on a PostgreSQL server, for upstream's `providers.postgresql`.
import ../lib/provider-module.nix ../../schemas/postgresql.json

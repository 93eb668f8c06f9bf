# Secrets that are made once and kept encrypted in a store, for upstream's `providers.secrets`.
import ../lib/provider-module.nix ../../schemas/secrets.json

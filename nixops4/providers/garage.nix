# Buckets, keys and what applications need of a Garage cluster, for upstream's `providers.garage`.
import ../lib/provider-module.nix ../../schemas/garage.json

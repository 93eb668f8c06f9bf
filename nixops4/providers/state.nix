# Where a deployment's state is kept, for upstream's `providers.state`.
import ../lib/provider-module.nix ../../schemas/state.json

# The same as ../role, with upstream's `mkRoot` and the provider modules. In a
# flake, `nixops4` is an input instead of the pin that flake-compat.nix has.
(import ../../../flake-compat.nix { }).lib.mkRoot { modules = [ ./component.nix ]; }

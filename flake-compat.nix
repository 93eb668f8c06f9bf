# Upstream's `nixops4.lib` without flakes, from the pins:
#
#   let nixops4 = import ./nixops4-resources/flake-compat.nix { };
#   in nixops4.lib.mkRoot { modules = [ ... ]; }
#
# It has what needs no package: `getProviders` and `renderProviderDocs` build
# things with upstream's own flake inputs, which are not pinned here.
{
  sources ? import ./npins,
}:
{
  # `outPath + ...`, as an interpolated path would be copied into the store.
  lib = import (sources.nixops4.outPath + "/nix/lib/lib.nix") {
    lib = import (sources.nixpkgs-lib.outPath + "/lib");
    self = { };
    selfWithSystem =
      system: _:
      throw "flake-compat.nix: nixops4's packages for ${system} are only in its flake; use the flake for getProviders and renderProviderDocs";
  };
}

# What this project gives to Nix, without flakes:
#
#   nixops4-resources = import ./nixops4-resources;
#   nixops4-resources.lib.mkRoot               a root without nixpkgs
#   nixops4-resources.modules.nixops4Provider  provider modules for upstream's mkRoot
#   nixops4-resources.modules.nixops4Component components for upstream's mkRoot
#   nixops4-resources.components               components for either
{
  lib = import ./nixops4/lib/root.nix;
  modules = {
    nixops4Provider = {
      garage = ./nixops4/providers/garage.nix;
      postgresql = ./nixops4/providers/postgresql.nix;
      secrets = ./nixops4/providers/secrets.nix;
      state = ./nixops4/providers/state.nix;
    };
    nixops4Component.default = ./nixops4/components/default.nix;
  };
  components.postgresqlTenant = import ./nixops4/components/postgresql-tenant.nix;
}

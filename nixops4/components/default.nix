# Everything of this suite for upstream's `mkRoot`, in one import:
#
#   imports = [ nixops4-resources.modules.nixops4Component.default ];
#   deployment = "demo";
#
# declares the providers and has them fill in `owner`. To be imported by the
# root; a nested component uses the root's `providers` by closure.
{ config, lib, ... }:
let
  modules = {
    garage = ../providers/garage.nix;
    postgresql = ../providers/postgresql.nix;
    secrets = ../providers/secrets.nix;
    state = ../providers/state.nix;
  };
in
{
  _class = "nixops4Component";

  imports = [ ../lib/plain-members.nix ];

  options.deployment = lib.mkOption {
    type = lib.types.strMatching ".*[^[:space:]].*";
    example = "demo";
    description = ''
      Name of the deployment: the owner's mark on everything it makes.

      Choose one that no other deployment has, and keep it: under another name, what this one made is foreign.
    '';
  };

  config.providers = lib.mapAttrs (_: module: {
    imports = [ module ];
    inherit (config) deployment;
  }) modules;
}

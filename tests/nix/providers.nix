# Where providers are found, and providers that are not of this suite.
let
  inherit (import ../../default.nix) lib;
  inherit (import ./fixpoint.nix) run;
  inherit (import ./roots.nix)
    arguments
    executableOf
    local
    thing
    withLocal
    ;
in
{
  executablesFromPath = {
    expr = (thing { }).provider.executable;
    expected = "nixops4-resources-probe";
  };

  executablesInAFolder = {
    expr = [
      (executableOf "/opt/bin").executable
      (executableOf /opt/bin).executable
    ];
    expected = [
      "/opt/bin/nixops4-resources-probe"
      "/opt/bin/nixops4-resources-probe"
    ];
  };

  executablesOneByOne = {
    expr = [
      (executableOf { probe = "/opt/probe"; }).executable
      (executableOf { state = "/opt/state"; }).executable
    ];
    expected = [
      "/opt/probe"
      "nixops4-resources-probe"
    ];
  };

  executablesOfUnknown = {
    expr = executableOf { prob = "/opt/probe"; };
    error = [ "executables.prob: no such provider; did you mean `probe`?" ];
  };

  otherProvider = {
    expr =
      (withLocal (
        { members, providers, ... }:
        {
          state = members.state;
          members.state = {
            type = providers.local.state_file;
            inputs.name = "state.json";
          };
          members.memo = {
            type = providers.local.memo;
            inputs.initialize_with = [ 1 ];
          };
          members.file = {
            type = providers.local.file;
            inputs.name = "x";
            inputs.contents = "y";
          };
        }
      )).members;
    expected =
      let
        provider = {
          type = "stdio";
          executable = "nixops4-resources-local";
          args = [ "--verbose" ];
        };
      in
      {
        state.resource = {
          inherit provider;
          type = "state_file";
          inputs.name = "state.json";
          outputsSkeleton = { };
          state = null;
        };
        memo.resource = {
          inherit provider;
          type = "memo";
          inputs.initialize_with = [ 1 ];
          outputsSkeleton.value = { };
          state = [ "state" ];
        };
        # Its `owner` is none of ours to fill in.
        file.resource = {
          inherit provider;
          type = "file";
          inputs = {
            name = "x";
            contents = "y";
            owner = null;
          };
          outputsSkeleton = { };
          state = [ "state" ];
        };
      };
  };

  otherProviderOfTheSameName = {
    expr = run (lib.mkRoot (arguments // { extraProviders.probe = local; }) (
      { providers, ... }: builtins.seq providers.probe { members = { }; }
    )) { };
    error = [ "extraProviders.probe: there is a provider of that name already" ];
  };
}

# A member of each provider that the file HOSTILE lists by name, one of an honest
# provider, and the state of both.
let
  resource = state: executable: type: inputs: {
    resource = {
      provider = {
        type = "stdio";
        args = [ ];
        inherit executable;
      };
      inherit type state inputs;
      outputsSkeleton = { };
    };
  };
  hostile = builtins.fromJSON (builtins.readFile (builtins.getEnv "HOSTILE"));
in
{
  _type = "nixops4Component";
  rootFunction = _: {
    members = {
      state = resource null "nixops4-resources-state" "state_sqlite" {
        deployment = "endurance";
        path = builtins.getEnv "STATE";
      };
      honest = resource [ "state" ] "nixops4-resources-secrets" "secrets_token" {
        owner = "endurance";
        name = "honest";
        deletionPolicy = "delete";
      };
    }
    // builtins.mapAttrs (
      name: executable: resource [ "state" ] executable "hostile_thing" { inherit name; }
    ) hostile;
  };
}

members:
let
  resource = args: state: type: inputs: outputs: {
    resource = {
      provider = {
        type = "stdio";
        executable = "@PROVIDER@";
        inherit args;
      };
      inherit type state inputs;
      outputsSkeleton = builtins.listToAttrs (
        map (name: {
          inherit name;
          value = { };
        }) outputs
      );
    };
  };
  of =
    args: state: name: inputs:
    resource args state "scratch_thing"
      (
        {
          directory = "@DIRECTORY@/things";
          inherit name;
        }
        // inputs
      )
      [
        "path"
        "serial"
        "content"
      ];
in
{
  _type = "nixops4Component";
  rootFunction =
    { outputValues, ... }:
    {
      members = members {
        o = outputValues;
        thing = of [ ] [ "state" ];
        stateless = of [ ] null;
        old = of [ "v0" ] [ "state" ];
        oldStateless = of [ "v0" ] null;
        stateIn = inputs: resource [ ] null "scratch_state" inputs [ ];
        state = resource [ ] null "scratch_state" { file = "@DIRECTORY@/state"; } [ ];
        oldState = resource [ "v0" ] null "scratch_state" { file = "@DIRECTORY@/state"; } [ ];
        inherit resource;
        directory = "@DIRECTORY@";
      };
    };
}

# A state and many notes in a folder, every tenth of which uses the one before it.
# BENCH_DEPLOYMENT names the file with the numbers and paths; BENCH_TEXT is what
# the first note says.
let
  settings = builtins.fromJSON (builtins.readFile (builtins.getEnv "BENCH_DEPLOYMENT"));
  first = builtins.getEnv "BENCH_TEXT";
  resource = executable: type: state: inputs: outputs: {
    resource = {
      provider = {
        type = "stdio";
        inherit executable;
        args = [ ];
      };
      inherit type state inputs;
      outputsSkeleton = builtins.mapAttrs (_: _: { }) outputs;
    };
  };
  note = outputs: index: {
    name = "note${toString index}";
    value =
      resource settings.provider "scratch_note" [ "state" ]
        {
          inherit (settings) folder;
          owner = "bench";
          name = toString index;
          text =
            if index == 0 then
              first
            else if index - index / 10 * 10 == 9 then
              outputs."note${toString (index - 1)}".path
            else
              "note ${toString index}";
        }
        {
          path = null;
          lines = null;
        };
  };
in
{
  _type = "nixops4Component";
  rootFunction =
    { outputValues, ... }:
    {
      members = {
        state = resource "nixops4-resources-state" "state_sqlite" null {
          deployment = "bench";
          path = settings.state;
        } { };
      }
      // builtins.listToAttrs (builtins.genList (note outputValues) settings.members);
    };
}

# Some secrets that don't wait for one another, recorded in a state of the kind that
# STATE names.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  settings = import ./settings.nix;
  kinds = import ./kinds.nix settings;
in
nixops4-resources.mkRoot { name = "tokens"; } (
  { members, providers, ... }:
  {
    state = members.state;
    members = {
      state = (kinds providers).${builtins.getEnv "STATE"};
    }
    // builtins.listToAttrs (
      builtins.genList (number: {
        name = "token${toString number}";
        value = {
          type = providers.secrets.token;
          inputs.name = "token${toString number}";
        };
      }) 6
    );
  }
)

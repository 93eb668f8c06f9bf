# Builds a root for `nixops4` and `nixops4-resources` without nixpkgs.
#
#   let
#     nixops4-resources = import ./nixops4-resources/nixops4/lib/root.nix;
#   in
#   nixops4-resources.mkRoot { name = "demo"; } (
#     { members, providers, ... }:
#     {
#       # Recorded here, unless a member says otherwise.
#       state = members.state;
#
#       members.state = {
#         type = providers.state.sqlite;
#         inputs.path = "/var/lib/demo/state.sqlite";
#       };
#       members.dbPassword = {
#         type = providers.secrets.password;
#         inputs.name = "app/db";
#       };
#       members.role = {
#         type = providers.postgresql.role;
#         inputs = {
#           name = "app";
#           password = members.dbPassword.outputs.secret;
#           connection.host = "db.example.org";
#         };
#       };
#       # A component of its own, here from a file.
#       members.mail = ./mail.nix;
#     }
#   )
#
# A component is { members, state ? }, a resource { type, inputs ?, state ? };
# each may also be a function of { members, providers, name, ... }, or a file
# with either. `members` are its own component's; what is outside is in scope
# or handed over by whoever imports the file. `members.NAME` has `outputs`,
# `inputs` and, of a component, `members`.
#
# `state` is a member, or null for none. It holds for every member within, down
# to the next `state`. Members that keep state need none, and what has to be
# looked at by each apply (certificates) is recorded only by a `state` of its own.
#
# Which members a component has must not depend on an output of one of its own
# members (Nix would look for the name while making the names). It may depend
# on any other: put the members in question in a component of their own.
#
# The input `owner` (of a state kind: `deployment`) is the deployment's name
# unless you set it.
let
  inherit (builtins) isString match;
  inherit (import ./complete.nix) describe;
in
{
  mkRoot =
    {
      # The deployment's name: the owner's mark on everything it makes, so
      # unlike that of any other deployment, and never changed.
      name,
      # Where the providers are: found through PATH by default, else the folder
      # that has them all, or { postgresql = "/.../bin/..."; }.
      executables ? null,
      # Providers of others: { NAME = { executable; args ? [ ]; kinds; }; },
      # with `kinds` as in schemas/postgresql.json. A kind without `inputs`
      # takes any.
      extraProviders ? { },
      # Descriptions of this suite's providers.
      schemas ? ../../schemas,
    }:
    component:
    let
      deploymentName =
        if !isString name then
          throw "mkRoot: name: must be a string, but is ${describe name}"
        else if match "[[:space:]]*" name != null then
          throw "mkRoot: name: must not be empty; it marks what this deployment owns"
        else
          name;
      providers = import ./providers.nix {
        inherit
          deploymentName
          executables
          extraProviders
          schemas
          ;
      };
      makeComponent = import ./component.nix { inherit deploymentName providers; };
    in
    # A mark that is wrong is wrong at once, not at the first member that has it.
    builtins.seq deploymentName {
      _type = "nixops4Component";
      rootFunction =
        { outputValues, ... }:
        (makeComponent {
          path = [ ];
          definition = component;
          inheritedState = null;
          inherit outputValues;
        }).export;
    };
}

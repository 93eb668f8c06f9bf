# Tenants of a PostgreSQL server, each with a password that is made for it: what
# goes to providers, by one of several ways to write the same deployment.
{
  # root          nixops4/lib/root.nix
  # component     upstream's mkRoot with components/default.nix
  # providers     upstream's mkRoot with the provider modules alone
  # untyped       upstream's mkRoot with kinds of which only outputs are declared
  way,
  tenants,
}:
let
  inherit (builtins)
    concatLists
    fromJSON
    genList
    listToAttrs
    mapAttrs
    readFile
    ;
  nixops4-resources = import ../../../default.nix;
  inherit (import ../../../flake-compat.nix { }) lib;
  inherit (import ../../nix/fixpoint.nix) run;

  component =
    { members, providers, ... }:
    {
      members = {
        state = {
          type = providers.state.sqlite;
          inputs.path = "/state.sqlite";
        };
      }
      // listToAttrs (concatLists (genList (tenant members providers) tenants));
    };

  tenant =
    members: providers: index:
    let
      name = "app${toString index}";
    in
    [
      {
        name = "password${toString index}";
        value = {
          type = providers.secrets.password;
          state = members.state;
          inputs.name = "${name}/database";
        };
      }
      {
        name = "tenant${toString index}";
        value = {
          type = providers.postgresql.tenant;
          state = members.state;
          inputs = {
            inherit name;
            connection = {
              host = "db.example.org";
              password.file = "/run/keys/postgresql-admin";
            };
            password = members."password${toString index}".outputs.secret;
            extensions = [ "pg_trgm" ];
          };
        };
      }
    ];

  untypedProvider =
    name:
    let
      description = fromJSON (readFile (../../../schemas + "/${name}.json"));
    in
    { lib, ... }:
    let
      output = lib.mkOption { type = lib.types.raw; };
      kind = wireType: kind: {
        inherit (kind) description;
        type = lib.mkForce wireType;
        requireState = kind.state == "required";
        inputs.freeformType = lib.types.lazyAttrsOf lib.types.raw;
        outputs.options = mapAttrs (_: _: output) kind.outputs.properties;
      };
    in
    {
      inherit (description) executable;
      resourceTypes = lib.mapAttrs' (wireType: described: {
        name = lib.removePrefix "${name}_" wireType;
        value = kind wireType described;
      }) description.kinds;
    };

  providerModules = nixops4-resources.modules.nixops4Provider;

  mkRoot =
    module:
    lib.mkRoot {
      modules = [
        module
        component
      ];
    };

  root =
    {
      root = nixops4-resources.lib.mkRoot { name = "bench"; } component;
      component = mkRoot {
        imports = [ nixops4-resources.modules.nixops4Component.default ];
        deployment = "bench";
      };
      providers = mkRoot {
        providers = mapAttrs (_: module: {
          imports = [ module ];
          deployment = "bench";
        }) providerModules;
      };
      untyped = mkRoot {
        providers = mapAttrs (name: _: untypedProvider name) providerModules;
      };
    }
    .${way};

  # Outputs as they are known after the first apply.
  secret = index: {
    store = "main";
    name = "app${toString index}/database";
    generation = 1;
    id = "8f3c";
  };
  outputs = listToAttrs (
    genList (index: {
      name = "password${toString index}";
      value.secret = secret index;
    }) tenants
  );
in
mapAttrs (_: member: removeAttrs member.resource [ "outputsSkeleton" ]) (run root outputs).members

# What Nix alone needs for the same deployment: everything that goes to providers,
# evaluated once.
let
  root = import ./deployment.nix;
  deployment = root.rootFunction {
    resourceProviderSystem = builtins.currentSystem;
    outputValues = builtins.mapAttrs (_: _: { }) deployment.members;
  };
in
builtins.mapAttrs (_: member: removeAttrs member.resource [ "outputsSkeleton" ]) deployment.members

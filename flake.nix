{
  description = "NixOps4 resource providers for PostgreSQL, secrets and deployment state";

  # No inputs: nothing here needs nixpkgs, and upstream's `lib` is brought by
  # whoever calls upstream's `mkRoot`.
  outputs = _: import ./default.nix;
}

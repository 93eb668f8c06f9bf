# What the tenant's outputs are to a NixOS machine: a module of its
# configuration, given `members.mastodon.members.tenant.outputs`.
database:
{ ... }:
{
  services.mastodon.database = {
    createLocally = false;
    inherit (database) host port user;
    name = database.database;
    passwordFile = "/run/keys/mastodon-database";
  };
}

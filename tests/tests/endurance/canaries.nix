# A secret of each kind, what they are used for on a server, and two places of state;
# passwords of the generation that GENERATION says. With LESS set, the tenant is gone.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  number = name: builtins.fromJSON (builtins.getEnv name);
  generation = number "GENERATION";
  connection = {
    host = builtins.getEnv "HOST";
    port = number "PORT";
    password.file = builtins.getEnv "SUPERUSER_PASSWORD_FILE";
  };
in
nixops4-resources.mkRoot { name = "canaries"; } (
  { members, providers, ... }:
  let
    inherit (providers) postgresql secrets;
    secret = kind: name: inputs: {
      type = secrets.${kind};
      inputs = {
        inherit name generation;
        deletionPolicy = "delete";
      }
      // inputs;
    };
    on = kind: inputs: {
      type = postgresql.${kind};
      inputs = {
        inherit connection;
        deletionPolicy = "delete";
      }
      // inputs;
    };
  in
  {
    state = members.state;
    members = {
      # Its password is in a variable: a secret of those who run it.
      state = {
        type = providers.state.postgresql;
        inputs.connection = {
          inherit (connection) host port;
          user = "keeper";
          database = "records";
          password.env = "KEEPER_PASSWORD";
        };
      };
      password = secret "password" "app/db" { length = 40; };
      token = secret "token" "app/session" { };
      ssh = secret "ssh_key" "host/key" { };
      age = secret "age_key" "backup" { };
      wireguard = secret "wireguard_key" "host/wg0" { };
      ca = secret "tls_ca" "ca" { commonName = "Canaries"; };
      tls = secret "tls_certificate" "host/tls" {
        dnsNames = [ "host.example" ];
        authority = members.ca.outputs.secret;
        authorityCertificate = members.ca.outputs.chain;
      };
      byHand = {
        type = secrets.value;
        inputs.name = "by/hand";
      };
      hash = secret "password_hash" "app/hash" {
        secret = members.password.outputs.secret;
        algorithm = "sha512crypt";
      };
      sealed = secret "sealed" "host/sealed" {
        secrets.database = members.password.outputs.secret;
        recipients = [ members.ssh.outputs.publicKey ];
      };
      sops = secret "sealed" "host/sops" {
        format = "sops";
        secrets.byHand = members.byHand.outputs.secret;
        recipients = [ members.ssh.outputs.publicKey ];
      };
      role = on "role" {
        name = "app";
        password = members.password.outputs.secret;
      };
      database = on "database" {
        name = "app";
        ownerRole = members.role.outputs.name;
      };
    }
    // (
      if builtins.getEnv "LESS" != "" then
        { }
      else
        {
          tenant = on "tenant" {
            name = "shop";
            password = members.byHand.outputs.secret;
          };
        }
    );
  }
)

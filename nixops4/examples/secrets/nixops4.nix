# One secret of each kind, in the store `main`, with their state beside it.
(import ../../lib/root.nix).mkRoot { name = "secrets"; } (
  { members, providers, ... }:
  let
    inherit (providers) secrets;
  in
  {
    state = members.state;

    members.state = {
      type = providers.state.sqlite;
      inputs.path = "secrets-state.sqlite";
    };

    members.database = {
      type = secrets.password;
      inputs = {
        name = "mastodon/database";
        length = 40;
      };
    };

    members.session = {
      type = secrets.token;
      inputs = {
        name = "mastodon/session";
        encoding = "base64url";
        rotateAfter = "90d";
      };
    };

    # It exists already: obtained from where it is, never invented.
    members.relay = {
      type = secrets.value;
      inputs = {
        name = "mastodon/relay";
        source = "existing";
        sourceName = "mail/relay";
      };
    };

    members.hostKey = {
      type = secrets.ssh_key;
      inputs = {
        name = "web1/host-key";
        comment = "root@web1";
      };
    };

    members.tunnel = {
      type = secrets.wireguard_key;
      inputs.name = "web1/wg0";
    };

    members.backup = {
      type = secrets.age_key;
      inputs.name = "backup/age";
    };

    # Not recorded: looked at by every apply, so that they are renewed in time.
    members.ca = {
      type = secrets.tls_ca;
      inputs = {
        name = "ca";
        commonName = "Example CA";
        pathLength = 0;
      };
    };

    members.web = {
      type = secrets.tls_certificate;
      inputs = {
        name = "web1/tls";
        dnsNames = [ "web1.example.org" ];
        authority = members.ca.outputs.secret;
        authorityCertificate = members.ca.outputs.chain;
      };
    };

    members.admin = {
      type = secrets.password_hash;
      inputs = {
        name = "web1/admin-hash";
        secret = members.database.outputs.secret;
        algorithm = "sha512crypt";
      };
    };

    # For web1 alone to open.
    members.sealed = {
      type = secrets.sealed;
      inputs = {
        name = "web1/sealed";
        secrets = {
          database = members.database.outputs.secret;
          tls = members.web.outputs.secret;
        };
        recipients = [ members.hostKey.outputs.publicKey ];
      };
    };

    # The same for sops-nix: one file of them all.
    members.sops = {
      type = secrets.sealed;
      inputs = {
        name = "web1/sops";
        format = "sops";
        secrets = {
          "mastodon/database" = members.database.outputs.secret;
          "mastodon/relay" = members.relay.outputs.secret;
        };
        recipients = [ members.hostKey.outputs.publicKey ];
      };
    };
  }
)

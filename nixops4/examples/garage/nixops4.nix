# Mastodon's media: a bucket, a key for it alone, and what browsers may do.
(import ../../lib/root.nix).mkRoot { name = "hosting"; } (
  { members, providers, ... }:
  {
    state = members.state;

    members.state = {
      type = providers.state.sqlite;
      inputs.path = "hosting.sqlite";
    };

    members.media = {
      type = providers.garage.tenant;
      inputs = {
        connection = {
          endpoint = "http://garage1.example.org:3903";
          token.file = "/run/keys/garage-deployer";
          s3Endpoint = "https://s3.example.org";
          webRootDomain = "web.example.org";
        };
        name = "mastodon-media";
        generation = 1;
        quotas.maxSize = "200GiB";
        # Everybody reads what was posted, and nobody lists it.
        website = { };
        corsRules = [
          {
            allowedOrigins = [ "https://social.example.org" ];
            allowedMethods = [ "GET" ];
          }
        ];
        lifecycleRules = [ { abortUploadsAfterDays = 2; } ];
      };
    };
  }
)

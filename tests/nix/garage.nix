# Buckets and keys on Garage: the example, what its outputs are to services, and
# every kind over the committed schemas.
let
  inherit (builtins)
    attrNames
    mapAttrs
    ;
  inherit (import ../../default.nix) lib;
  inherit (import ./fixpoint.nix) run;

  example = (run (import ../../nixops4/examples/garage/nixops4.nix) { }).members.media.resource;
  media = {
    endpoint = "https://s3.example.org";
    region = "garage";
    bucket = "mastodon-media";
    accessKeyId = "GK0123456789abcdef01234567";
    secretKeyRef = {
      store = "main";
      name = "garage/mastodon-media";
      generation = 1;
      id = "8f3c";
    };
    bucketId = "00112233";
    websiteHost = "mastodon-media.web.example.org";
    systemIdentifier = "44556677";
  };

  membersOf =
    definitions:
    (run (lib.mkRoot { name = "demo"; } ({ providers, ... }: { members = definitions providers; })) { })
    .members;
  inputsOf = definitions: mapAttrs (_: member: member.resource.inputs) (membersOf definitions);
  connection = {
    endpoint = "http://127.0.0.1:3903";
    token.env = "TOKEN";
  };
in
{
  theExample = {
    expr = {
      inherit (example) type state;
      inherit (example.inputs)
        owner
        name
        generation
        website
        permissions
        emptyOnDelete
        ;
      outputs = attrNames example.outputsSkeleton;
    };
    expected = {
      type = "garage_tenant";
      state = [ "state" ];
      owner = "hosting";
      name = "mastodon-media";
      generation = 1;
      website = {
        indexDocument = "index.html";
        errorDocument = null;
      };
      permissions = {
        read = true;
        write = true;
        owner = false;
      };
      emptyOnDelete = false;
      outputs = attrNames media;
    };
  };

  itsOutputsMakeAService = {
    expr = (import ../../nixops4/examples/garage/mastodon.nix media { }).services.mastodon;
    expected = {
      extraConfig = {
        S3_ENABLED = "true";
        S3_BUCKET = "mastodon-media";
        S3_REGION = "garage";
        S3_ENDPOINT = "https://s3.example.org";
        S3_ALIAS_HOST = "mastodon-media.web.example.org";
        S3_PERMISSION = "";
        AWS_ACCESS_KEY_ID = "GK0123456789abcdef01234567";
      };
      extraEnvFiles = [ "/run/keys/mastodon-s3" ];
    };
  };

  andAProxy = {
    expr =
      attrNames
        (import ../../nixops4/examples/garage/proxy.nix media { }).services.nginx.virtualHosts;
    expected = [ "mastodon-media.web.example.org" ];
  };

  everyKindIsThere = {
    expr = attrNames (
      inputsOf (
        { garage, ... }:
        {
          bucket = {
            type = garage.bucket;
            inputs = {
              inherit connection;
              name = "media";
            };
          };
          key = {
            type = garage.key;
            inputs = {
              inherit connection;
              name = "app";
            };
          };
          permission = {
            type = garage.permission;
            inputs = {
              inherit connection;
              bucketId = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
              accessKeyId = "GK0123456789abcdef01234567";
              read = true;
            };
          };
          token = {
            type = garage.admin_token;
            inputs = {
              inherit connection;
              name = "deployer";
              scope = [ "GetClusterStatus" ];
            };
          };
        }
      )
    );
    expected = [
      "bucket"
      "key"
      "permission"
      "token"
    ];
  };

  aSecretInPlaceOfAReference = {
    expr =
      (inputsOf (
        { garage, ... }:
        {
          bucket = {
            type = garage.bucket;
            inputs = {
              connection = connection // {
                token = "hunter2";
              };
              name = "media";
            };
          };
        }
      )).bucket;
    error = [ "members.bucket.inputs.connection.token" ];
    absent = [ "hunter2" ];
  };

  aMisspeltInput = {
    expr =
      (inputsOf (
        { garage, ... }:
        {
          bucket = {
            type = garage.bucket;
            inputs = {
              inherit connection;
              name = "media";
              quotas.maxsize = "1GiB";
            };
          };
        }
      )).bucket;
    error = [ "maxSize" ];
  };
}

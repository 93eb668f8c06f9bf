# What the tenant's outputs are to a NixOS machine: a module of its
# configuration, given `members.media.outputs`.
media:
{ ... }:
{
  services.mastodon = {
    extraConfig = {
      S3_ENABLED = "true";
      S3_BUCKET = media.bucket;
      S3_REGION = media.region;
      S3_ENDPOINT = media.endpoint;
      S3_ALIAS_HOST = media.websiteHost;
      # Garage has no lists of access for each object.
      S3_PERMISSION = "";
      AWS_ACCESS_KEY_ID = media.accessKeyId;
    };
    # AWS_SECRET_ACCESS_KEY=... is delivered beside the configuration.
    extraEnvFiles = [ "/run/keys/mastodon-s3" ];
  };
}

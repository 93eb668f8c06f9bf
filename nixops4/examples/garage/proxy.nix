# Serves the media to everybody: a module of the machine that has the certificate
# for it, given `members.media.outputs`.
media:
{ ... }:
{
  services.nginx.virtualHosts.${media.websiteHost} = {
    enableACME = true;
    forceSSL = true;
    locations."/" = {
      # The port of Garage's websites. It tells them apart by the name.
      proxyPass = "http://garage1.example.org:3902";
      extraConfig = "proxy_set_header Host $host;";
    };
  };
}

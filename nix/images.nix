# What a container starts from, by images/build as everywhere: the same root directory in the image, in the template, with Nix and without.
{
  lib,
  runCommand,
  gnutar,
  gzip,
  zstd,
  cacert,
  systemmanager-mcp,
  epoch,
}:
let
  source = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../images/build
      ../images/config.ron
      ../images/host.ron
      ../images/init.example.ron
    ];
  };
  make =
    kind:
    runCommand "systemmanager-mcp-${kind}"
      {
        nativeBuildInputs = [
          gnutar
          gzip
          zstd
        ];
        CA_BUNDLE = "${cacert}/etc/ssl/certs/ca-bundle.crt";
        SOURCE_DATE_EPOCH = toString epoch;
      }
      ''
        bash ${source}/images/build ${kind} ${lib.getExe systemmanager-mcp} "$out"
      '';
in
{
  # an OCI layout that `docker load` and `podman load` take as well, and Proxmox 9.1 as a template
  oci = make "oci";
  # for LXC and Proxmox, a few MB
  lxc = make "lxc";
}

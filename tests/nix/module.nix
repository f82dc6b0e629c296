# What the module says of these settings, next to stubs of the options that it sets.
{
  standin,
  flake,
  settings,
}:
let
  lib = import "${standin}/lib.nix";
  pkgs = import "${standin}/pkgs.nix" {
    inherit lib;
    system = "x86_64-linux";
  };
  package = pkgs.callPackage "${flake}/nix/package.nix" { };
  nixos = import "${standin}/nixos.nix" {
    inherit lib pkgs;
    modules = [
      (import "${flake}/nix/module.nix" { packages.x86_64-linux.default = package; })
      { services.systemmanager-mcp = settings; }
    ];
  };
  inherit (nixos.config.systemd) services sockets;
in
{
  inherit sockets;
  options = import "${flake}/nix/options.nix" {
    inherit lib;
    options = nixos.options.services.systemmanager-mcp;
  };
  inherit (nixos) failed;
  ports = nixos.config.networking.firewall.allowedTCPPorts;
  units = lib.mapAttrs (name: _: nixos.unit name) services;
  # read here, it is built, and the program has checked it
  config = builtins.readFile nixos.config.environment.etc."systemmanager-mcp/config.ron".source;
}

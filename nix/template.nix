# The template for those who want a whole system in it: NixOS in LXC, as Proxmox sets it up, with the service on.
{
  nixpkgs,
  module,
  system,
}:
(nixpkgs.lib.nixosSystem {
  inherit system;
  modules = [
    "${nixpkgs}/nixos/modules/virtualisation/proxmox-lxc.nix"
    module
    {
      services.systemmanager-mcp.enable = true;
      system.stateVersion = "26.05";
    }
  ];
}).config.system.build.tarball

{
  description = "stand-in for nixpkgs, own code only: enough lib to evaluate this flake and the host's tools to build it where no nixpkgs can be had";
  outputs =
    { self }:
    let
      base = import ./lib.nix;
      pkgsOf = system: import ./pkgs.nix { inherit lib system; };
      lib = base // {
        # of a system no more than the unit, next to stubs: what nixpkgs itself brings is not there to be built
        nixosSystem =
          { system, modules }:
          let
            pkgs = pkgsOf system;
            nixos = import ./nixos.nix {
              inherit lib pkgs;
              modules = base.filter (module: !base.isString module) modules;
            };
          in
          {
            config.system.build.tarball = pkgs.writeText "unit" (nixos.unit "systemmanager-mcp");
          };
      };
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] pkgsOf;
    };
}

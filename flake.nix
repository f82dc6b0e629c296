{
  description = "MCP server for AI agents that look after a Linux machine without a root shell";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forAllSystems = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      packagesOf = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system};
      # one time in all that is built from one commit; an uncommitted tree has none of its own
      epoch = if self ? rev then self.lastModified else 1;
    in
    {
      packages = forAllSystems (
        pkgs:
        let
          default = pkgs.pkgsStatic.callPackage ./nix/package.nix { };
          images = pkgs.callPackage ./nix/images.nix {
            systemmanager-mcp = default;
            inherit epoch;
          };
        in
        {
          inherit default;
          inherit (images) oci lxc;
          # one file is both
          oci-archive = images.oci;
          lxc-nixos = import ./nix/template.nix {
            inherit nixpkgs;
            module = self.nixosModules.default;
            inherit (pkgs.stdenv.hostPlatform) system;
          };
        }
      );

      # for a machine with KVM and nixpkgs' cache: `nix build .#nixosTests.service`
      legacyPackages = forAllSystems (pkgs: {
        nixosTests = import ./nix/tests {
          inherit lib pkgs;
          module = self.nixosModules.default;
          packages = packagesOf pkgs;
        };
      });

      # `nix run`: a trial on 127.0.0.1:8080
      apps = forAllSystems (pkgs: {
        default = {
          type = "app";
          program = lib.getExe (packagesOf pkgs).default;
          meta.description = "A trial of systemmanager-mcp on 127.0.0.1:8080, read-only, with a token that dies with it";
        };
      });

      overlays.default = final: _: { systemmanager-mcp = final.pkgsStatic.callPackage ./nix/package.nix { }; };

      nixosModules.default = import ./nix/module.nix self;

      checks = forAllSystems (
        pkgs:
        {
          package = (packagesOf pkgs).default;
          static = pkgs.callPackage ./nix/check-static.nix { systemmanager-mcp = (packagesOf pkgs).default; };
        }
      );

      devShells = forAllSystems (pkgs: {
        default = pkgs.callPackage ./nix/shell.nix { };
      });

      formatter = forAllSystems (pkgs: pkgs.nixfmt-tree);
    };
}

# What `tests/run --quick` calls, so that the everyday loop needs neither apt nor root; the other steps expect Debian.
{
  lib,
  mkShell,
  pkgsStatic,
  check-jsonschema,
  git,
  jq,
  procps,
  rust-analyzer,
  shellcheck,
  util-linux,
}:
let
  # the compiler of nix/package.nix: besides the machine's own target it knows the static one, for which the tests build.
  # rust-toolchain.toml is rustup's and does not count here
  inherit (pkgsStatic.buildPackages)
    cargo
    clippy
    rustc
    rustfmt
    ;
  inherit (pkgsStatic.stdenv) cc;
  inherit (pkgsStatic.stdenv.hostPlatform.rust) cargoEnvVarTarget rustcTarget;
  compiler = "${cc}/bin/${cc.targetPrefix}cc";
in
mkShell {
  packages = [
    cargo
    clippy
    rustc
    rustfmt
    rust-analyzer
    # the schemas of the workflows, and the scripts
    check-jsonschema
    shellcheck
    git
    jq
    procps
    # prlimit and setpriv, below which the program runs
    util-linux
  ];
  # for the C in the dependencies, and for the last link
  "CC_${lib.replaceStrings [ "-" ] [ "_" ] rustcTarget}" = compiler;
  "CARGO_TARGET_${cargoEnvVarTarget}_LINKER" = compiler;
}

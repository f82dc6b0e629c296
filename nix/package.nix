# The program. Called from pkgsStatic, it is one static musl binary.
{
  lib,
  rustPlatform,
  stdenv,
  buildType ? "dist",
}:
let
  inherit (lib.importTOML ../Cargo.toml) package workspace;
  inherit (workspace.package) version;
in
rustPlatform.buildRustPackage {
  pname = package.name;
  inherit version;

  # what the program and its unit tests are made of: a change of documents or of other tests builds nothing again
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../build.rs
      ../src
      ../images/config.example.ron
      ../images/init.example.ron
      ../tests/main.rs
      ../tests/docker/recorded
      ../tests/machines
    ];
  };
  # every crate has its hash there: none here that goes stale
  cargoLock.lockFile = ../Cargo.lock;
  inherit buildType;
  # what is tested needs no fat LTO, which takes minutes for each binary
  checkType = "release";

  # the default of a musl target, said all the same
  env.RUSTFLAGS = lib.optionalString stdenv.hostPlatform.isStatic "-C target-feature=+crt-static";

  # the other tests want engines, clients and a network: tests/run has them
  cargoTestFlags = [
    "--workspace"
    "--lib"
  ];

  doInstallCheck = stdenv.buildPlatform.canExecute stdenv.hostPlatform;
  installCheckPhase = ''
    runHook preInstallCheck
    $out/bin/systemmanager-mcp --version | grep --fixed-strings ${version}
    $out/bin/systemmanager-mcp check-config ${../images/config.example.ron}
    runHook postInstallCheck
  '';

  meta = {
    inherit (package) description;
    license = lib.licenses.mit;
    mainProgram = package.name;
    platforms = lib.platforms.linux;
  };
}

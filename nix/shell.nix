# What work on it needs; tests/run brings the rest itself, on Debian.
{
  mkShell,
  cargo,
  clippy,
  rustc,
  rustfmt,
  rust-analyzer,
  jq,
}:
mkShell {
  packages = [
    cargo
    clippy
    rustc
    rustfmt
    rust-analyzer
    jq
  ];
}

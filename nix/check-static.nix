# The program needs no other file: it is static, and names nothing of the store.
{
  lib,
  runCommand,
  binutils,
  systemmanager-mcp,
}:
runCommand "systemmanager-mcp-static" { nativeBuildInputs = [ binutils ]; } ''
  program=${lib.getExe systemmanager-mcp}
  readelf --file-header --program-headers --dynamic "$program" > headers
  if grep -E 'INTERP|NEEDED' headers; then
    echo "the program is not static" >&2
    exit 1
  fi
  if grep --text --only-matching --extended-regexp '/nix/store/[a-z0-9]{32}-[^/[:space:]]*' "$program"; then
    echo "the program names paths of the store" >&2
    exit 1
  fi
  cp headers $out
''

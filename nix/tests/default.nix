# The tests that need a virtual machine: one file each, found by its name. tests/run holds what they hold on Debian; these hold NixOS itself.
{
  lib,
  pkgs,
  module,
  packages,
}:
let
  files = lib.filterAttrs (name: _: lib.hasSuffix ".nix" name && name != "default.nix") (builtins.readDir ./.);
  # what every machine has, and how its server is asked
  common = {
    imports = [ module ];
    services.systemmanager-mcp.enable = true;
    environment.systemPackages = [
      pkgs.curl
      pkgs.jq
    ];
  };
  helpers = ''
    import json

    def token(scopes):
        secret = machine.succeed(f"systemmanager-mcp token new test-{scopes.replace(':', '-').replace(',', '-')} --scopes {scopes}").strip()
        return secret

    def call(secret, tool, **arguments):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        machine.succeed(f"cat > /tmp/body <<'EOF'\n{body}\nEOF")
        said = machine.wait_until_succeeds(
            "curl --silent --fail --data @/tmp/body http://127.0.0.1:8080/mcp --header 'Content-Type: application/json'"
            f" --header 'Accept: application/json, text/event-stream' --header 'Authorization: Bearer {secret}' | sed 's/^data: //' | grep '^{{'"
        )
        return json.loads(said)["result"]
  '';
in
lib.mapAttrs' (
  file: _:
  let
    test = import (./. + "/${file}") { inherit pkgs packages; };
  in
  lib.nameValuePair (lib.removeSuffix ".nix" file) (
    pkgs.testers.runNixOSTest {
      name = "systemmanager-mcp-${lib.removeSuffix ".nix" file}";
      nodes.machine = {
        imports = [
          common
          test.machine
        ];
      };
      testScript = ''
        ${helpers}
        machine.wait_for_unit("multi-user.target")
        ${test.script}
      '';
    }
  )
) files

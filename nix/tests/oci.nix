# The image that Nix makes, in a real engine.
{ packages, ... }:
{
  machine = {
    virtualisation.docker.enable = true;
    services.systemmanager-mcp.enable = false;
  };
  script = ''
    machine.wait_for_unit("docker.service")
    machine.succeed("docker load --input ${packages.oci}/*.oci.tar")
    machine.succeed("docker run --detach --name smcp --read-only --cap-drop ALL --security-opt no-new-privileges systemmanager-mcp")
    machine.wait_until_succeeds("docker exec smcp systemmanager-mcp healthcheck")
    assert "container" in machine.succeed("docker exec smcp systemmanager-mcp call identity --json | jq --raw-output .scope")
    machine.succeed("docker stop --time 5 smcp && test $(docker inspect smcp --format '{{.State.ExitCode}}') = 0")
  '';
}

# docker-guard alone reaches Docker, and the server reaches what it lets through.
{ pkgs, ... }:
{
  machine = {
    virtualisation.docker.enable = true;
    services.systemmanager-mcp.docker.enable = true;
  };
  script = ''
    machine.wait_for_unit("docker.service")
    machine.wait_for_unit("systemmanager-mcp-docker-guard.service")
    machine.succeed("tar --create --directory ${pkgs.pkgsStatic.busybox} . | docker import - box")
    machine.succeed("docker run --detach --name one box /bin/sleep 100000")
    secret = token("docker:read")
    rows = call(secret, "containers")["structuredContent"]["containers"]["rows"]
    assert [row[0] for row in rows] == ["one"], rows
    machine.fail("docker --host unix:///run/docker-guard/guard.sock exec one /bin/true")
    machine.fail("setpriv --reuid systemmanager-mcp --regid systemmanager-mcp --clear-groups docker ps")
  '';
}

# It starts, lets in whom a token says, and outlives a crash and a restart.
{ ... }:
{
  machine.services.systemmanager-mcp.holdPort = true;
  script = ''
    machine.wait_for_unit("systemmanager-mcp.service")
    machine.fail("curl --silent --fail --data '{}' http://127.0.0.1:8080/mcp")
    secret = token("system:read")
    assert call(secret, "identity")["structuredContent"]["host"] == "machine"
    machine.succeed("systemctl kill --signal KILL systemmanager-mcp")
    assert not call(secret, "overview").get("isError")
    machine.succeed("systemctl restart systemmanager-mcp")
    assert not call(secret, "overview").get("isError")
    machine.succeed("systemmanager-mcp doctor --config /etc/systemmanager-mcp/config.ron || test $? = 1")
  '';
}

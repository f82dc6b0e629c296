# The unit keeps its score, holds no right, and a credential is enough for the tokens.
{ ... }:
{
  machine = {
    services.systemmanager-mcp.tokenFile = "/root/tokens.ron";
    systemd.services.systemmanager-mcp.unitConfig.ConditionPathExists = "/root/tokens.ron";
  };
  script = ''
    secret = machine.succeed("systemmanager-mcp token new test --token-file /root/tokens.ron --scopes system:read").strip()
    machine.succeed("systemctl start systemmanager-mcp")
    machine.wait_for_unit("systemmanager-mcp.service")
    assert not call(secret, "processes").get("isError")
    machine.succeed("systemd-analyze security --threshold=20 systemmanager-mcp.service")
    pid = machine.succeed("systemctl show --property=MainPID --value systemmanager-mcp").strip()
    status = machine.succeed(f"cat /proc/{pid}/status")
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status, status
  '';
}

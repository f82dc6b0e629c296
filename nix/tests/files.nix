# What may be read and changed: by the configuration, the unit and the file's own rights.
{ ... }:
{
  machine = {
    services.systemmanager-mcp.settings.files.directories = [
      { path = "/etc"; }
      {
        path = "/srv/data";
        access = "Rw";
      }
    ];
    systemd.tmpfiles.rules = [ "d /srv/data 0755 systemmanager-mcp systemmanager-mcp" ];
  };
  script = ''
    secret = token("files:read,files:write")
    assert "machine" in call(secret, "file_read", path="/etc/hostname")["structuredContent"]["text"]
    assert call(secret, "file_read", path="/etc/shadow")["isError"]
    assert call(secret, "file_read", path="/root/x")["isError"]
    assert not call(secret, "file_write", path="/srv/data/a", content="a\n").get("isError")
    machine.succeed("grep a /srv/data/a")
    assert call(secret, "file_write", path="/etc/a", content="a\n")["isError"]
  '';
}

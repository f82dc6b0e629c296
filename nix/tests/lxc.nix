# The template that Nix makes, in real LXC.
{ packages, ... }:
{
  machine = {
    virtualisation.lxc.enable = true;
    services.systemmanager-mcp.enable = false;
  };
  script = ''
    machine.succeed("mkdir --parents /var/lib/lxc/box/rootfs && tar --extract --zstd --directory /var/lib/lxc/box/rootfs --file ${packages.lxc}/*.tar.zst")
    machine.succeed("printf '%s\n' 'lxc.uts.name = box' 'lxc.rootfs.path = dir:/var/lib/lxc/box/rootfs' 'lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed' 'lxc.autodev = 1' 'lxc.net.0.type = empty' 'lxc.console.logfile = /tmp/console' > /var/lib/lxc/box/config")
    machine.succeed("lxc-start --name box")
    machine.wait_until_succeeds("grep 'shown this once' /tmp/console")
    machine.wait_until_succeeds("lxc-attach --name box -- /usr/bin/systemmanager-mcp healthcheck")
    machine.succeed("lxc-stop --name box --timeout 5 --nokill")
  '';
}

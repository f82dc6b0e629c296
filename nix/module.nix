# services.systemmanager-mcp: the server, and docker-guard before Docker's socket.
self:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.systemmanager-mcp;
  ron = import ./ron.nix { inherit lib; };
  file = import ./settings.nix { inherit lib ron; };
  unit = import ./unit.nix { inherit lib; };

  name = "systemmanager-mcp";
  guard = "systemmanager-mcp-docker-guard";
  guardSocket = "/run/docker-guard/guard.sock";
  credential = file: "/run/credentials/${name}.service/${file}";

  # written, and read by the program itself while the system is built: what it would refuse at boot fails here
  configFile = pkgs.runCommand "${name}.ron" { text = file.render settings; passAsFile = [ "text" ]; } ''
    ${lib.getExe cfg.package} check-config "$textPath"
    cp "$textPath" $out
  '';

  settings =
    cfg.settings
    // {
      inherit docker;
    }
    // lib.optionalAttrs isLong { inherit listeners; }
    // lib.optionalAttrs (cfg.tls.keyFile != null && !isLong && cfg.settings.tls == null) { tls = certificate; };

  # each key by itself: one that is said leaves the others as they are
  docker =
    let
      said = lib.filterAttrs (_: value: value != null) cfg.settings.docker;
      own = {
        socket = guardSocket;
        inherit (cfg.docker) binds registries;
        update_privileged = cfg.docker.updatePrivileged;
      };
    in
    (if cfg.docker.enable then own else lib.optionalAttrs (!(said ? socket)) { off = true; }) // said;

  orElse = default: it: if it == null then default else it;
  directories = orElse [ ] cfg.settings.files.directories;
  changed = map (directory: directory.path) (lib.filter (directory: directory.access == "Rw") directories);
  isIn = parent: path: path == parent || lib.hasPrefix "${parent}/" path;
  isHome = path: lib.any (home: isIn home path) [ "/home" "/root" "/run/user" ];
  isLoopback = address: lib.hasPrefix "127." address || lib.hasPrefix "[::1]:" address;
  long = orElse [ ] cfg.settings.listeners;
  isLong = long != [ ];
  binds = if isLong then map (listener: listener.bind) long else orElse (file.default "listen") cfg.settings.listen;
  beyond = lib.filter (address: !isLoopback address) binds;
  # the certificate of `tls` is for every listener that says nothing else
  listeners = map (
    listener:
    listener
    // lib.optionalAttrs (cfg.tls.keyFile != null && listener.plain_text != true && listener.tls == null) {
      tls = certificate;
    }
  ) long;
  certificate = {
    certificate = credential "tls.crt";
    key = credential "tls.key";
  };
  port = address: lib.toInt (lib.last (lib.splitString ":" address));
  inStore = file: file != null && lib.hasPrefix builtins.storeDir (toString file);
in
{
  options.services.systemmanager-mcp = {
    enable = lib.mkEnableOption "systemmanager-mcp, an MCP server through which an AI agent looks after this machine";

    package = mkOption {
      type = types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
      defaultText = lib.literalExpression "systemmanager-mcp.packages.\${system}.default";
      description = "The program.";
    };

    tokenFile = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = "/run/secrets/systemmanager-mcp-tokens.ron";
      description = "The tokens that are let in, as `systemmanager-mcp token new` writes them. Handed over by systemd's LoadCredential, so root alone needs to read it; never in the store. Null: tokens.ron in /var/lib/systemmanager-mcp, which `token new` makes.";
    };

    tls = {
      certificateFile = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "The certificate chain, PEM. Handed over by LoadCredential.";
      };
      keyFile = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "Its key, PEM. Handed over by LoadCredential; never in the store.";
      };
    };

    settings = mkOption {
      default = { };
      description = "The configuration file, key by key. What is null is left out, and has the program's own default. The program checks it while the system is built. Unless they are said here, `docker.socket`, `docker.binds`, `docker.registries` and `docker.update_privileged` are docker-guard's; without docker-guard Docker is left alone, unless there is a `docker.socket` here. The certificate of `tls.certificateFile` is for the listeners that say nothing else.";
      type = types.submodule { inherit (file) options; };
    };

    docker = {
      enable = lib.mkEnableOption "the tools for Docker, through docker-guard: a unit and a user of their own, which alone reach Docker's socket";
      readOnly = mkOption {
        type = types.bool;
        default = false;
        description = "Whether docker-guard lets through only what reads.";
      };
      binds = mkOption {
        type = types.listOf types.path;
        default = [ ];
        description = "Directories that a new container may be given, each by itself. The server and docker-guard are both told.";
      };
      registries = mkOption {
        type = types.listOf types.str;
        default = [ "*" ];
        description = "The registries that images may be pulled from; `*` is every one with a public name. The server and docker-guard are both told.";
      };
      updatePrivileged = mkOption {
        type = types.bool;
        default = false;
        description = "Whether containers may be updated that have more rights than a new one gets. The server and docker-guard are both told.";
      };
      socket = mkOption {
        type = types.path;
        default = "/run/docker.sock";
        description = "The Engine's socket.";
      };
      group = mkOption {
        type = types.str;
        default = "docker";
        description = "The group that may use it. docker-guard is in it, the server is not.";
      };
    };

    holdPort = mkOption {
      type = types.bool;
      default = false;
      description = "Whether systemd holds the addresses of `settings` open while the server restarts, so that no caller is turned away.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to open the ports of `settings` that are not loopback.";
    };

    hardening = {
      home = mkOption {
        type = types.enum [ "hidden" "read-only" "open" ];
        default = "hidden";
        description = "What the server sees of /home, /root and /run/user. `open` is for directories there with `Rw`.";
      };
      groups = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "adm" "systemd-journal" ];
        description = "Further groups of the server's user, for files that only they may read.";
      };
      capabilities = mkOption {
        type = types.listOf (types.enum [ "CAP_DAC_READ_SEARCH" "CAP_SYS_PTRACE" ]);
        default = [ ];
        description = "Rights beyond those of a user. `CAP_DAC_READ_SEARCH` reads every file below the allowed directories; with `CAP_SYS_PTRACE` beside it the open files and I/O of all processes are told, and their memory could be read.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !inStore cfg.tokenFile && !inStore cfg.tls.keyFile;
        message = "services.systemmanager-mcp: tokenFile and tls.keyFile must not lie in the Nix store, which everybody can read. Write the path as a string, of a file that sops-nix, agenix or you put there.";
      }
      {
        assertion = (cfg.tls.certificateFile == null) == (cfg.tls.keyFile == null);
        message = "services.systemmanager-mcp.tls: set both certificateFile and keyFile, or none.";
      }
      {
        assertion = isLong || beyond == [ ] || cfg.tls.keyFile != null || cfg.settings.tls != null || cfg.settings.plain_text == true;
        message = "services.systemmanager-mcp.settings.listen: ${toString beyond} can be reached by others. Set tls.certificateFile and tls.keyFile, or settings.plain_text = true if something else encrypts (Tailscale, WireGuard, a proxy).";
      }
      {
        assertion = cfg.openFirewall -> beyond != [ ];
        message = "services.systemmanager-mcp.openFirewall: settings has only loopback addresses, which no firewall opens. Add one, or leave openFirewall out.";
      }
      {
        assertion = lib.any isHome changed -> cfg.hardening.home == "open";
        message = "services.systemmanager-mcp: ${toString (lib.filter isHome changed)} is to be changed and cannot be. Set hardening.home = \"open\".";
      }
    ];

    services.systemmanager-mcp.settings = lib.mkIf (cfg.tokenFile != null) {
      token_file = lib.mkDefault (credential "tokens.ron");
    };

    # as in images/systemd/sysusers.d: the server, and docker-guard, which shares its group and nothing else
    users.users = {
      ${name} = {
        isSystemUser = true;
        group = name;
        description = "MCP server";
      };
    }
    // lib.optionalAttrs cfg.docker.enable {
      docker-guard = {
        isSystemUser = true;
        group = name;
        description = "Guard of Docker's socket";
      };
    };
    users.groups.${name} = { };

    # for people: `systemmanager-mcp doctor --config /etc/systemmanager-mcp/config.ron`
    environment.systemPackages = [ cfg.package ];
    environment.etc."${name}/config.ron".source = configFile;

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall (map port beyond);

    systemd.sockets = lib.mkIf cfg.holdPort {
      "${name}-port" = {
        description = "Port of systemmanager-mcp";
        wantedBy = [ "sockets.target" ];
        socketConfig = {
          ListenStream = binds;
          Service = "${name}.service";
        };
      };
    };

    systemd.services = lib.mkMerge [
      {
        ${name} = unit.service ../images/systemd/${name}.service {
          wantedBy = [ "multi-user.target" ];
          serviceConfig = {
            ExecStart = lib.escapeShellArgs [ (lib.getExe cfg.package) "serve" "--config" configFile ];
            ExecReload = lib.escapeShellArgs [ (lib.getExe cfg.package) "reload" "--config" configFile ];
            LoadCredential =
              lib.optional (cfg.tokenFile != null) "tokens.ron:${cfg.tokenFile}"
              ++ lib.optionals (cfg.tls.keyFile != null) [ "tls.crt:${cfg.tls.certificateFile}" "tls.key:${cfg.tls.keyFile}" ];
            ProtectHome = { hidden = true; read-only = "read-only"; open = false; }.${cfg.hardening.home};
            ReadWritePaths = changed;
            SupplementaryGroups = cfg.hardening.groups;
            CapabilityBoundingSet = if cfg.hardening.capabilities == [ ] then [ "" ] else cfg.hardening.capabilities;
            AmbientCapabilities = cfg.hardening.capabilities;
          }
          # so that a switch stops the service before the socket takes over its port
          // lib.optionalAttrs cfg.holdPort { Sockets = "${name}-port.socket"; };
        };
      }
      (lib.mkIf cfg.docker.enable {
        ${guard} = unit.service ../images/systemd/${guard}.service {
          wantedBy = [ "multi-user.target" ];
          serviceConfig.ExecStart = lib.escapeShellArgs (
            [ (lib.getExe cfg.package) "docker-guard" "--docker" cfg.docker.socket "--listen" guardSocket ]
            ++ lib.optional cfg.docker.readOnly "--read-only"
            # without one it would let every public name be; no registry has this name
            ++ lib.concatMap (registry: [ "--registry" registry ]) (
              if docker.registries == [ ] then [ "none" ] else docker.registries
            )
            ++ lib.optional docker.update_privileged "--update-privileged"
            ++ lib.concatMap (bind: [ "--bind" bind ]) docker.binds
          );
          serviceConfig.SupplementaryGroups = [ cfg.docker.group ];
        };
      })
    ];
  };
}

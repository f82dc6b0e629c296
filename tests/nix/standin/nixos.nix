# evaluates a NixOS module against stubs of the options it sets, and prints the unit
{ lib, pkgs, modules }:
let
  any = d: lib.mkOption { type = lib.types.anything; default = d; };
  ev = lib.evalModules { specialArgs = { inherit pkgs; }; modules = [ { options = {
    assertions = any [ ]; warnings = any [ ]; environment = any { }; users = any { }; nixpkgs = any { };
    networking.firewall.allowedTCPPorts = lib.mkOption { type = lib.types.listOf lib.types.port; default = [ ]; };
    systemd.services = lib.mkOption { default = { }; type = lib.types.attrsOf lib.types.anything; };
    systemd.sockets = any { }; system = any { };
  }; } ] ++ modules; };
  strip = v: if v._type or null == "if" then (if v.condition then strip v.content else null) else v;
  line = k: v0: let v = strip v0; in if v == null then "" else lib.concatMapStringsSep "" (x: "${k}=${if lib.isBool x then lib.boolToString x else toString x}\n") (lib.toList v);
  sec = n: a: "[${n}]\n" + lib.concatStringsSep "" (lib.mapAttrsToList line a) + "\n";
in if ev.unknown != [ ] then throw "The option `${builtins.head ev.unknown}' does not exist." else ev // {
  failed = map (a: a.message) (builtins.filter (a: !a.assertion) ev.config.assertions);
  unit = name: let s = ev.config.systemd.services.${name}; in
    sec "Unit" ({ Description = s.description or name; } // lib.optionalAttrs (s ? after) { After = toString s.after; } // lib.optionalAttrs (s ? wants) { Wants = toString s.wants; }) + sec "Service" s.serviceConfig;
}

# The module's options as Markdown. options.md is what this writes; tests/nix/run holds the two to each other.
{ lib, options }:
let
  isOption = it: it._type or null == "option";

  # [ { name, option } … ], those of submodules after the one that they belong to
  all =
    prefix: set:
    lib.concatMap (
      name:
      let
        it = set.${name};
        path = "${prefix}.${name}";
        isList = lib.hasInfix "list of" (it.type.description or it.type.name or "");
        below = it.type.getSubOptions or (_: { }) [ ];
      in
      if lib.hasPrefix "_" name then
        [ ]
      else if isOption it then
        [
          {
            name = path;
            option = it;
          }
        ]
        ++ all (if isList then "${path}.*" else path) below
      else
        all path it
    ) (builtins.attrNames set);

  literal = it: it.text or (if lib.isString it then builtins.toJSON it else nix it);
  nix =
    it:
    if lib.isList it then
      "[ ${lib.concatMapStrings (part: "${nix part} ") it}]"
    else if lib.isAttrs it then
      "{ }"
    else if it == null then
      "null"
    else
      builtins.toJSON it;

  row =
    { name, option }:
    let
      default = if option ? defaultText then literal option.defaultText else literal option.default;
    in
    "| `${name}` | ${if option ? default || option ? defaultText then "`${default}`" else "–"} | ${option.description} |\n";
in
''
  # Options of services.systemmanager-mcp

  Written by [`nix/options.nix`](options.nix).

  | option | default | what it is |
  |---|---|---|
  ${lib.concatMapStrings row (all "services.systemmanager-mcp" options)}''

# Writes a value as RON, which nixpkgs has no writer for. Sets are structs; `variant` is what Nix has no word for.
{ lib }:
let
  inherit (lib) concatMapStrings isAttrs isBool isInt isList isString;

  # `Info` is `variant "Info" null`, `File("/x")` is `variant "File" "/x"`
  variant = name: content: { __variant = name; inherit content; };

  name = key: if builtins.match "[A-Za-z_][A-Za-z0-9_]*" key != null then key else throw "${key} is no key of RON";

  value =
    indent: it:
    let
      deeper = indent + "    ";
      lines = open: close: parts: if parts == [ ] then open + close else "${open}\n${concatMapStrings (part: "${deeper}${part},\n") parts}${indent}${close}";
    in
    if it == null then
      "None"
    else if isBool it then
      lib.boolToString it
    else if isInt it then
      toString it
    # RON's strings are JSON's, but for control characters, which the program then refuses
    else if isString it || builtins.isPath it then
      builtins.toJSON (toString it)
    else if isList it then
      lines "[" "]" (map (value deeper) it)
    else if it ? __variant then
      name it.__variant + lib.optionalString (it.content != null) "(${value indent it.content})"
    else if isAttrs it then
      lines "(" ")" (lib.mapAttrsToList (key: content: "${name key}: ${value deeper content}") it)
    else
      throw "RON has no such value: ${builtins.typeOf it}";
in
{
  inherit variant;
  render = it: value "" it + "\n";
}

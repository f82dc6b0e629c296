# The options for the keys of the configuration file, and the file that their values make. What a key is called, takes and means is said once, in
# the sections of src/config, from which the program's tests write settings.json.
{ lib, ron }:
let
  inherit (lib) mkOption types;

  keys = builtins.fromJSON (builtins.readFile ./settings.json);

  typeOf =
    type:
    if type == "bool" then
      types.bool
    else if type == "text" then
      types.str
    else if type == "path" then
      types.path
    else if type == "sink" then
      types.either (types.enum [ "stderr" ]) types.path
    else if type ? number then
      types.ints.between 1 type.number
    else if type ? one_of then
      types.enum type.one_of
    else if type ? list then
      types.listOf (typeOf type.list)
    else
      types.submodule { options = optionsOf type.keys; };

  # a key that is left out is null, and has the program's own default
  optionOf =
    key:
    {
      description = key.about or "Keys of `${key.name}`.";
    }
    // (
      if key.needed or false then
        { type = typeOf key.type; }
      else if key.section or false then
        {
          type = typeOf key.type;
          default = { };
        }
      else
        {
          type = types.nullOr (typeOf key.type);
          default = null;
        }
    );

  optionsOf = all: lib.listToAttrs (map (key: lib.nameValuePair key.name (mkOption (optionOf key))) all);

  value =
    type: it:
    if type == "sink" then
      if it == "stderr" then ron.variant "Stderr" null else ron.variant "File" it
    else if type ? one_of then
      ron.variant it null
    else if type == "path" then
      toString it
    else if type ? list then
      map (value type.list) it
    else if type ? keys then
      values type.keys it
    else
      it;

  # a section of which nothing is said is left out as well
  values =
    all: set:
    let
      said =
        key:
        let
          it = set.${key.name} or null;
          its = value key.type it;
        in
        lib.optional (it != null && its != { }) (lib.nameValuePair key.name its);
    in
    lib.listToAttrs (lib.concatMap said all);
in
{
  options = optionsOf keys;

  # the file, as text
  render = settings: ron.render (values keys settings);

  # what the program takes where a key at the top of the file is left out
  default = name: (lib.findFirst (key: key.name == name) (throw "no key ${name}") keys).default;
}

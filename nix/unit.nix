# The units are written once, for every system: images/systemd. Here they are read into what NixOS makes its own of.
{ lib }:
let
  # [ { section, key, value } … ] in the file's order
  parse =
    file:
    let
      lines = lib.filter (line: line != "" && !lib.hasPrefix "#" line && !lib.hasPrefix ";" line) (
        lib.splitString "\n" (builtins.readFile file)
      );
      step =
        state: line:
        let
          header = builtins.match "\\[([A-Za-z]+)]" line;
          entry = builtins.match "([A-Za-z]+)=(.*[^\\])?" line;
        in
        if header != null then
          state // { section = lib.head header; }
        else if entry != null then
          state
          // {
            entries = state.entries ++ [
              {
                inherit (state) section;
                key = lib.head entry;
                value = if lib.last entry == null then "" else lib.last entry;
              }
            ];
          }
        else
          throw "${toString file}: a line that is no KEY=VALUE on one line: ${line}";
    in
    (lib.foldl' step { section = null; entries = [ ]; } lines).entries;

  # what stands several times is a list
  sectionOf =
    section: entries:
    let
      own = lib.filter (entry: entry.section == section) entries;
      values = key: map (entry: entry.value) (lib.filter (entry: entry.key == key) own);
      settle = all: if lib.length all == 1 then lib.head all else all;
    in
    lib.listToAttrs (map (entry: lib.nameValuePair entry.key (settle (values entry.key))) own);
in
{
  # a service as the file says it, with what `more` says otherwise
  service =
    file: more:
    let
      entries = parse file;
      own = sectionOf "Unit" entries;
    in
    more
    // {
      description = own.Description;
      unitConfig = removeAttrs own [ "Description" ];
      serviceConfig = sectionOf "Service" entries // more.serviceConfig or { };
    };
}

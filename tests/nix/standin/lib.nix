let
  inherit (builtins) attrNames concatLists concatMap concatStringsSep elem filter foldl' genList hasAttr head isAttrs isBool isFloat isFunction isInt isList isPath isString length listToAttrs map mapAttrs match replaceStrings split substring stringLength tail;
  lib = rec {
    # --- lists, strings, sets
    id = x: x;
    optional = c: x: if c then [ x ] else [ ];
    optionals = c: x: if c then x else [ ];
    optionalString = c: s: if c then s else "";
    optionalAttrs = c: a: if c then a else { };
    inherit concatMap concatStringsSep filter foldl' isAttrs isBool isFloat isInt isList isString length listToAttrs mapAttrs elem head tail;
    findFirst = pred: default: l: let found = filter pred l; in if found == [ ] then default else head found;
    hasInfix = infix: content: builtins.length (builtins.split infix content) > 1; # infix without what a regex knows
    concatMapStrings = f: l: concatStringsSep "" (map f l);
    unique = foldl' (acc: e: if elem e acc then acc else acc ++ [ e ]) [ ];
    last = l: builtins.elemAt l (length l - 1);
    all = builtins.all; any = builtins.any;
    flatten = x: if isList x then concatMap flatten x else [ x ];
    toList = x: if isList x then x else [ x ];
    concatMapStringsSep = s: f: l: concatStringsSep s (map f l);
    mapAttrsToList = f: a: map (n: f n a.${n}) (attrNames a);
    filterAttrs = p: a: listToAttrs (concatMap (n: optional (p n a.${n}) { name = n; value = a.${n}; }) (attrNames a));
    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = f: a: listToAttrs (mapAttrsToList f a);
    genAttrs = names: f: listToAttrs (map (n: { name = n; value = f n; }) names);
    recursiveUpdate = a: b: if isAttrs a && isAttrs b && !(a ? _type) && !(b ? _type) then a // mapAttrs (n: v: if a ? ${n} then recursiveUpdate a.${n} v else v) b else b;
    hasPrefix = p: s: substring 0 (stringLength p) s == p;
    hasSuffix = p: s: stringLength s >= stringLength p && substring (stringLength s - stringLength p) (-1) s == p;
    removePrefix = p: s: if hasPrefix p s then substring (stringLength p) (-1) s else s;
    splitString = sep: s: filter isString (split (replaceStrings [ "." "[" "]" "+" "*" "?" "(" ")" "|" "\\" "^" "$" ] [ "\\." "\\[" "]" "\\+" "\\*" "\\?" "\\(" "\\)" "\\|" "\\\\" "\\^" "\\$" ] sep) s);
    inherit replaceStrings;
    toUpper = replaceStrings (splitChars "abcdefghijklmnopqrstuvwxyz") (splitChars "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    splitChars = s: genList (n: substring n 1 s) (stringLength s);
    toInt = builtins.fromJSON;
    boolToString = b: if b then "true" else "false";
    escapeShellArg = s: let t = toString s; in if match "[[:alnum:],._+:@%/-]+" t != null then t else "'${replaceStrings [ "'" ] [ "'\\''" ] t}'";
    escapeShellArgs = concatMapStringsSep " " escapeShellArg;
    strings.floatToString = x: builtins.toJSON x;
    isDerivation = x: x.type or null == "derivation";
    getExe = p: "${p}/bin/${p.meta.mainProgram or p.pname}";
    importTOML = f: builtins.fromTOML (builtins.readFile f);
    importJSON = f: builtins.fromJSON (builtins.readFile f);
    licenses = genAttrs [ "mit" "asl20" "agpl3Plus" "gpl3Plus" "mpl20" ] (n: { shortName = n; });
    platforms = { linux = [ "x86_64-linux" "aarch64-linux" ]; all = [ "x86_64-linux" ]; };
    literalExpression = text: { _type = "literalExpression"; inherit text; };
    # --- filesets: only { root; unions [ paths ]; }
    fileset = {
      unions = concatMap toList;
      toSource = { root, fileset }: let keep = map toString fileset; r = toString root; in builtins.path {
        path = root; name = "source";
        filter = p: _: any (k: p == k || hasPrefix "${k}/" p || hasPrefix "${p}/" k) keep;
      };
    };
    # --- modules
    mkIf = condition: content: { _type = "if"; inherit condition content; };
    mkMerge = contents: { _type = "merge"; inherit contents; };
    mkOverride = priority: content: { _type = "override"; inherit priority content; };
    mkForce = mkOverride 50; mkDefault = mkOverride 1000;
    mkOption = o: { _type = "option"; } // o;
    mkEnableOption = d: mkOption { type = types.bool; default = false; description = "Whether to enable ${d}."; };
    # a definition -> list of { prio, value }
    discharge = v:
      if v._type or null == "if" then (if v.condition then discharge v.content else [ ])
      else if v._type or null == "merge" then concatMap discharge v.contents
      else if v._type or null == "override" then map (d: d // { prio = v.priority; }) (discharge v.content)
      else [ { prio = 100; value = v; } ];
    best = defs: let p = foldl' (m: d: if d.prio < m then d.prio else m) 9999 defs; in filter (d: d.prio == p) defs;
    mergeOpt = loc: opt: defs0:
      let
        defs = best (concatMap discharge defs0 ++ optional (opt ? default) { prio = 1500; value = opt.default; });
        t = opt.type or types.raw;
        bad = filter (d: !(t.check d.value)) defs;
        v = if defs == [ ] then throw "The option `${concatStringsSep "." loc}' is used but not defined."
          else if bad != [ ] then throw "A definition for option `${concatStringsSep "." loc}' is not of type `${t.name}'."
          else t.merge loc (map (d: d.value) defs);
      in (opt.apply or id) v;
    evalModules = { modules, specialArgs ? { }, prefix ? [ ], freeform ? null }:
      let
        args = specialArgs // { inherit lib config options; };
        load = m: let x = if isPath m || isString m then import m else m; y = if isFunction x then x (args // { inherit (args) config; }) else x;
          z = if y ? config || y ? options then { imports = y.imports or [ ]; options = y.options or { }; config = y.config or { }; } else { imports = y.imports or [ ]; options = { }; config = removeAttrs y [ "imports" "_file" ]; };
          in [ z ] ++ concatMap load z.imports;
        loaded = concatMap load modules;
        options = foldl' recursiveUpdate { } (map (m: m.options) loaded);
        # push mkIf/mkMerge/mkOverride one level down: definitions of one attribute
        defsOf = n: d:
          if d._type or null == "if" then map (mkIf d.condition) (defsOf n d.content) # the condition is not looked at before the leaf is
          else if d._type or null == "merge" then concatMap (defsOf n) d.contents
          else optional (d ? ${n}) d.${n};
        namesOf = d: if d._type or null == "if" then namesOf d.content else if d._type or null == "merge" then concatMap namesOf d.contents else attrNames d;
        walk = loc: opts: defs: mapAttrs (n: o: let ds = concatMap (defsOf n) defs; in if o._type or null == "option" then mergeOpt (loc ++ [ n ]) o ds else walk (loc ++ [ n ]) o ds) opts;
        top = map (m: m.config) loaded;
        known = walk prefix options top;
        check = loc: opts: defs: concatMap (n: if !(opts ? ${n}) then [ (concatStringsSep "." (loc ++ [ n ])) ] else if opts.${n}._type or null == "option" then [ ] else check (loc ++ [ n ]) opts.${n} (concatMap (defsOf n) defs)) (unique (concatMap namesOf defs));
        unknownTop = filter (n: !(options ? ${n})) (unique (concatMap namesOf top));
        config = if freeform != null then known // genAttrs (filter (n: concatMap discharge (concatMap (defsOf n) top) != [ ]) unknownTop) (n: (freeform.merge (prefix ++ [ n ]) [ (genAttrs [ n ] (_: mkMerge (concatMap (defsOf n) top))) ]).${n}) else known;
        unknown = if freeform != null then [ ] else check prefix options top;
      in { inherit options config unknown; };
    types = rec {
      mk = name: check: merge: { _type = "option-type"; inherit name check merge; description = name; };
      one = loc: vs: if length vs == 1 || all (v: v == head vs) vs then head vs else throw "The option `${concatStringsSep "." loc}' has conflicting definition values.";
      raw = mk "raw" (_: true) one; anything = mk "anything" (_: true) (loc: vs: if all isAttrs vs then foldl' recursiveUpdate { } vs else if all isList vs then concatLists vs else last vs);
      bool = mk "boolean" isBool one; int = mk "signed integer" isInt one; float = mk "float" isFloat one; str = mk "string" isString one;
      port = mk "16 bit unsigned integer" (v: isInt v && v >= 0 && v < 65536) one;
      path = mk "path" (v: isPath v || (isString v && hasPrefix "/" v)) one; package = mk "package" isDerivation one;
      lines = mk "lines" isString (_: concatStringsSep "\n");
      ints.positive = mk "positive integer" (v: isInt v && v > 0) one;
      ints.between = low: high: mk "integer between ${toString low} and ${toString high} (both inclusive)" (v: isInt v && v >= low && v <= high) one;
      enum = vs: mk "one of ${toString vs}" (v: elem v vs) one;
      nullOr = t: mk "null or ${t.name}" (v: v == null || t.check v) (loc: vs: if all (v: v == null) vs then null else t.merge loc (filter (v: v != null) vs)) // below t;
      below = t: optionalAttrs (t ? getSubOptions) { inherit (t) getSubOptions; };
      oneOf = ts: mk "one of several types" (v: any (t: t.check v) ts) (loc: vs: (head (filter (t: all t.check vs) ts)).merge loc vs);
      either = a: b: oneOf [ a b ];
      listOf = t: mk "list of ${t.name}" isList (loc: vs: concatMap (l: map (x: mergeOpt loc { type = t; } [ x ]) l) vs) // below t;
      attrsOf = t: mk "attribute set of ${t.name}" isAttrs (loc: vs: let ds = n: concatMap (v: optional (v ? ${n}) v.${n}) vs; in genAttrs (filter (n: concatMap discharge (ds n) != [ ]) (unique (concatMap attrNames vs))) (n: mergeOpt (loc ++ [ n ]) { type = t; } (ds n)));
      submodule = m: let a = if isAttrs m then m else { imports = [ m ]; }; in mk "submodule" (v: isAttrs v || isFunction v)
        (loc: vs: let it = evalModules { prefix = loc; freeform = a.freeformType or null; modules = [ { options = a.options or { }; config = { }; imports = a.imports or [ ]; } ] ++ map (v: { config = v; options = { }; }) vs; };
          in if it.unknown == [ ] then it.config else throw "The option `${concatStringsSep "." (map toString loc)}.${head it.unknown}' does not exist.")
        // { getSubOptions = _: a.options or { }; };
    };
  };
in lib

# The host's tools behind the few names the flake uses; builds run in Nix's sandbox with /usr, @HOME@/.cargo and @HOME@/.rustup let in.
# With a file `program` beside this one, that is what the package is, and nothing is compiled.
{ lib, system }:
let
  hostPath = "@HOME@/.cargo/bin:/usr/local/bin:/usr/bin:/bin";
  run = name: env: script: let d = derivation (removeAttrs env [ "passthru" "nativeBuildInputs" "passAsFile" "meta" ] // {
      inherit name system; builder = "/bin/bash"; PATH = hostPath; passAsFile = [ "script" ] ++ (env.passAsFile or [ ]); inherit script;
      args = [ "-euc" "set -o pipefail; export TMPDIR=$NIX_BUILD_TOP HOME=$NIX_BUILD_TOP; cd $NIX_BUILD_TOP; source $scriptPath; exit 0" ];
    }); in d // { pname = name; } // (env.passthru or { }) // { meta = env.meta or { }; };
  rustcTarget = lib.head (lib.splitString "-" system) + "-unknown-linux-musl";
  platform = { inherit system; isStatic = true; rust = { inherit rustcTarget; cargoEnvVarTarget = lib.toUpper (lib.replaceStrings [ "-" ] [ "_" ] rustcTarget); }; };
  callPackageWith = scope: f: args: let g = if lib.isAttrs f || builtins.isFunction f then f else import f; fa = builtins.functionArgs g; in g (builtins.intersectAttrs fa scope // args);
  tool = name: run name { } "mkdir -p $out/bin; ln -s $(command -v ${name}) $out/bin/${name}";
  pkgs = {
    inherit lib; callPackage = callPackageWith pkgs;
    stdenv = { hostPlatform = platform; buildPlatform = platform // { canExecute = other: other.system == system; }; cc = tool "musl-gcc" // { targetPrefix = "musl-g"; }; };
    runCommand = run; file = tool "file"; zstd = tool "zstd"; gnutar = tool "tar"; gzip = tool "gzip"; jq = tool "jq"; fakeroot = tool "fakeroot"; binutils = tool "readelf"; skopeo = tool "skopeo";
    nixfmt-tree = tool "nixfmt"; mkShell = env: run "shell" env "touch $out";
    cargo = tool "cargo"; clippy = tool "cargo-clippy"; rustc = tool "rustc"; rustfmt = tool "rustfmt"; rust-analyzer = tool "rust-analyzer";
    check-jsonschema = tool "check-jsonschema"; git = tool "git"; procps = tool "pgrep"; shellcheck = tool "shellcheck"; util-linux = tool "prlimit";
    writeText = name: text: run name { inherit text; passAsFile = [ "text" ]; } "cp $textPath $out";
    cacert = run "cacert" { } "mkdir -p $out/etc/ssl/certs; cp -L /etc/ssl/certs/ca-certificates.crt $out/etc/ssl/certs/ca-bundle.crt";
    # cargo, offline, crates out of cargo's own download cache (fill it with `cargo fetch --locked` before)
    rustPlatform.buildRustPackage = a: (run "${a.pname}-${a.version}" { inherit (a) src; inherit (a) meta; RUSTFLAGS = a.env.RUSTFLAGS or ""; } (''
      runHook() { :; }
    '' + (if builtins.pathExists ./program then ''
      install -D --mode=755 ${./program} $out/bin/${a.meta.mainProgram}
    '' else ''
      cp --recursive $src/. src; chmod --recursive u+w src; cd src
      mkdir --parents $HOME/.cargo; ln --symbolic @HOME@/.cargo/registry $HOME/.cargo/registry
      export CARGO_HOME=$HOME/.cargo RUSTUP_HOME=@HOME@/.rustup CC_x86_64_unknown_linux_musl=musl-gcc
      target=x86_64-unknown-linux-musl
      cargo test --frozen --profile ${a.checkType} --target $target ${toString a.cargoTestFlags}
      cargo build --frozen --profile ${a.buildType} --target $target
      install -D --mode=755 target/$target/${a.buildType}/${a.meta.mainProgram} --target-directory=$out/bin
    '') + a.installCheckPhase)) // { inherit (a) pname version meta; };
    # the image's config and layer, as a docker-archive: what streamLayeredImage makes of `extraCommands` and `config`
    dockerTools.buildLayeredImage = a: run "${a.name}.tar.gz" { cfg = builtins.toJSON a.config; passAsFile = [ "cfg" ]; } ''
      mkdir root; cd root; ${a.extraCommands or ""}
      FAKEROOTDONTTRYCHOWN=1 fakeroot bash -euc '${a.fakeRootCommands or ":"}
        tar --sort=name --mtime=@1 --numeric-owner -cf ../layer.tar .'; cd ..
      sum=$(sha256sum layer.tar | cut -d" " -f1); mkdir -p img/$sum; mv layer.tar img/$sum/
      jq -cS --arg s sha256:$sum '{architecture:"amd64",os:"linux",created:"1970-01-01T00:00:01Z",config:.,rootfs:{type:"layers",diff_ids:[$s]}}' $cfgPath > img/config.json
      jq -ncS --arg l $sum/layer.tar '[{Config:"config.json",RepoTags:["${a.name}:${a.tag}"],Layers:[$l]}]' > img/manifest.json
      tar --sort=name --mtime=@1 --owner=0 --group=0 -C img -cf - . | gzip -n > $out
    '';
    pkgsStatic = pkgs; buildPackages = pkgs;
  };
in pkgs

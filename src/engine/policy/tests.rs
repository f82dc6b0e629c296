use std::collections::BTreeSet;

use super::*;

fn verdict(body: &str) -> Result<(), String> {
    check(&parse(body.as_bytes())?, &["/srv/data".into(), "/srv/www/".into(), "/".into()])
}

/// With nothing of the machine permitted.
fn bare(body: &str) -> Result<(), String> {
    check(&parse(body.as_bytes())?, &[])
}

/// As what takes the place of a container that is there.
fn successor(body: &str) -> Result<(), String> {
    check_successor(&parse(body.as_bytes()).unwrap(), &Value::Null, &[])
}

fn host(fields: &str) -> String {
    format!(r#"{{"Image":"a","HostConfig":{{{fields}}}}}"#)
}

fn permitted(body: &str) {
    if let Err(why) = check(&parse(body.as_bytes()).unwrap(), &["/srv/data".into(), "/srv/www/".into()]) {
        panic!("{body}: {why}");
    }
}

fn refused(body: &str) {
    let verdict = parse(body.as_bytes()).and_then(|body| check(&body, &["/srv/data".into(), "/srv/www/".into()]));
    assert!(verdict.is_err(), "{body}");
}

#[test]
fn what_every_container_has_on_cgroup_v1_makes_none_one_that_may_do_more() {
    let of = |fields: &str| successor(&host(fields));
    assert_eq!(of(r#""CgroupnsMode":"host""#), Ok(()));
    assert!(of(r#""CgroupnsMode":"host","Privileged":true"#).is_err() && of(r#""PidMode":"host""#).is_err());
    refused(&host(r#""CgroupnsMode":"host""#));
}

#[test]
fn a_container_with_large_limits_has_no_more_rights_and_is_updated_by_default() {
    // as the documented composition of a search engine has it
    let memlock = host(
        r#""Ulimits":[{"Name":"memlock","Soft":-1,"Hard":-1},{"Name":"nofile","Soft":65536,"Hard":2097152}],"Memory":1073741824"#,
    );
    assert_eq!(successor(&memlock), Ok(()));
    for fields in [
        r#""Ulimits":[{"Name":"msgqueue","Soft":-1,"Hard":-1},{"Name":"stack","Soft":2147483648,"Hard":-1}]"#,
        r#""ShmSize":137438953472,"PidsLimit":10000000"#,
        r#""RestartPolicy":{"Name":"on-failure","MaximumRetryCount":5000}"#,
        r#""LogConfig":{"Type":"json-file","Config":{"max-file":"200","max-size":"1k"}}"#,
        r#""PublishAllPorts":true"#,
        r#""Tmpfs":{"/run":"size=0"}"#,
    ] {
        assert_eq!(successor(&host(fields)), Ok(()), "{fields}");
        refused(&host(fields));
    }
    for fields in [
        r#""StopTimeout":7200"#,
        r#""StopTimeout":-1"#,
        r#""Healthcheck":{"Test":["CMD","true"],"Interval":500000000,"Retries":2000}"#,
    ] {
        let body = format!(r#"{{"Image":"a",{fields}}}"#);
        assert_eq!(successor(&body), Ok(()), "{fields}");
        refused(&body);
    }
    let ports: Map<String, Value> = (1..=300).map(|port| (format!("{port}/tcp"), serde_json::json!([{}]))).collect();
    let exposed: Map<String, Value> = ports.keys().map(|port| (port.clone(), serde_json::json!({}))).collect();
    let many = serde_json::json!({ "Image": "a", "ExposedPorts": exposed, "HostConfig": { "PortBindings": ports } });
    assert_eq!(successor(&many.to_string()), Ok(()));
    refused(&many.to_string());
}

#[test]
fn a_right_over_other_programs_stays_one_in_a_successor() {
    for fields in [
        r#""Ulimits":[{"Name":"rtprio","Soft":99,"Hard":99}]"#,
        r#""Ulimits":[{"Name":"nice","Soft":40,"Hard":40}]"#,
        r#""Ulimits":[{"Name":"rttime","Soft":1,"Hard":1}]"#,
        r#""OomScoreAdj":-1000"#,
        r#""CpuRealtimeRuntime":950000"#,
        r#""LogConfig":{"Type":"syslog","Config":{"syslog-address":"tcp://192.0.2.1"}}"#,
        r#""LogConfig":{"Type":"json-file","Config":{"path":"/etc/x"}}"#,
        r#""Tmpfs":{"/run":"dev"}"#,
        r#""PublishAllPorts":"yes""#,
        r#""Mounts":[{"Type":"bind","Source":"/etc","Target":"/x"}]"#,
    ] {
        assert!(successor(&host(fields)).is_err(), "{fields}");
    }
    assert_eq!(successor(&host(r#""Privileged":true"#)), Err("HostConfig.Privileged".to_owned()));
}

#[test]
fn an_image_publishes_no_more_ports_at_once_than_a_new_container_may() {
    let body = parse(host(r#""PublishAllPorts":true"#).as_bytes()).unwrap();
    let image = |ports: usize| {
        let exposed: Map<String, Value> =
            (1..=ports).map(|port| (format!("{port}/tcp"), serde_json::json!({}))).collect();
        serde_json::json!({ "Config": { "ExposedPorts": exposed } })
    };
    assert_eq!(check_successor(&body, &image(256), &[]), Ok(()));
    assert!(check_successor(&body, &image(257), &[]).is_err());
}

/// Each was a way out, on Podman or through the guard.
#[test]
fn a_text_that_an_engine_takes_apart_again_is_refused() {
    for fields in [
        r#""Mounts":[{"Type":"volume","Source":"v","Target":"/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc"}]"#,
        r#""Mounts":[{"Type":"bind","Source":"/srv/data","Target":"/x,source=/etc"}]"#,
        r#""Mounts":[{"Type":"bind","Source":"/srv/data","Target":"/x,bind-propagation=rshared,suid,dev"}]"#,
        r#""Mounts":[{"Type":"tmpfs","Target":"/x,tmpfs-mode=1777,dev,suid,exec"}]"#,
        r#""Mounts":[{"Type":"volume","Source":"v","Target":"/x\"y"}]"#,
        r#""Mounts":[{"Type":"volume","Source":"v","Target":"/x\ny"}]"#,
        r#""Mounts":[{"Type":"volume","Source":"v","Target":"/x","VolumeOptions":{"Subpath":"a,source=/etc"}}]"#,
        r#""Binds":["v:/x,source=/etc"]"#,
        r#""Tmpfs":{"/x,dev":""}"#,
        r#""Tmpfs":{"/x":"size=1k\u0000dev"}"#,
        r#""GroupAdd":["keep-groups"]"#,
        r#""NetworkMode":"0123456789ab""#,
        r#""NetworkMode":"0123456789abcdef0123""#,
    ] {
        refused(&host(fields));
    }
    for body in [
        r#"{"Image":"a","Env":["*"]}"#,
        r#"{"Image":"a","Env":["PATH"]}"#,
        r#"{"Image":"a","Env":["A*=b"]}"#,
        r#"{"Image":"a","Volumes":{"/x,source=/etc":{}}}"#,
        r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"0123456789ab":{}}}}"#,
    ] {
        refused(body);
    }
    permitted(r#"{"Image":"a","Env":["A=","B=c=d, e"],"HostConfig":{"NetworkMode":"cafe","GroupAdd":["video","44"]}}"#);
}

#[test]
fn what_stays_within_a_container_is_permitted() {
    for body in [
        r#"{"Image":"a"}"#,
        r#"{"Image":"a","Cmd":["sh","-c","true"],"Entrypoint":"sh","Env":["A=b"],"Labels":{"a":"b"},"User":"1000:1000"}"#,
        r#"{"Image":"a","ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},"StopTimeout":10,"Healthcheck":{"Test":["NONE"],"Retries":3}}"#,
        r#"{"Image":"a","HostConfig":null,"NetworkingConfig":null}"#,
        r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"web_default":{"Aliases":["db"],"IPAMConfig":{"IPv4Address":"172.20.0.5"}},"b":null}}}"#,
    ] {
        permitted(body);
    }
    for fields in [
        r#""RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}"#,
        r#""Memory":1048576,"NanoCpus":500000000,"PidsLimit":100,"CpusetCpus":"0-1","MemorySwap":-1,"MemorySwappiness":-1"#,
        r#""Ulimits":[{"Name":"nofile","Soft":1024,"Hard":2048}]"#,
        r#""PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}],"81/tcp":null}"#,
        r#""NetworkMode":"web_default""#,
        r#""NetworkMode":"none","IpcMode":"private","CgroupnsMode":"private","PidMode":"","UTSMode":"","UsernsMode":"""#,
        r#""CapDrop":["ALL"],"CapAdd":[],"SecurityOpt":["no-new-privileges:true"],"ReadonlyRootfs":true,"Init":true"#,
        r#""LogConfig":{"Type":"json-file","Config":{"max-size":"10m"}}"#,
        r#""LogConfig":{"Type":"","Config":{}}"#,
        r#""Binds":["data:/data","data:/data2:ro","/srv/data:/x","/srv/data/:/y:ro,z","/srv//www/./:/z","/anonymous"]"#,
        r#""Mounts":[{"Type":"volume","Source":"data","Target":"/d","VolumeOptions":{"NoCopy":true,"DriverConfig":{"Name":"local"}}}]"#,
        r#""Mounts":[{"Type":"volume","Target":"/d"},{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1024,"Mode":511}}]"#,
        r#""Mounts":[{"Type":"bind","Source":"/srv/www","Target":"/d","ReadOnly":true,"BindOptions":{"Propagation":"rprivate"}}]"#,
        r#""Tmpfs":{"/run":"rw,size=64m,mode=1777","/tmp":""}"#,
        r#""BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1024}],"OomScoreAdj":500,"StorageOpt":{"size":"10G"}"#,
        r#""MaskedPaths":null,"ReadonlyPaths":null,"Runtime":"","Privileged":false,"Sysctls":{},"Links":null"#,
        r#""ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger","/proc/more"]"#,
        // of an Engine to come, and unused
        r#""NewThing":null,"NewerThing":"","NewestThing":{},"NewNumber":0,"NewSwitch":false"#,
    ] {
        permitted(&host(fields));
    }
}

#[test]
fn what_leaves_a_container_is_refused() {
    for fields in [
        r#""Privileged":true"#,
        r#""Privileged":1"#,
        r#""Privileged":"true""#,
        r#""NetworkMode":"host""#,
        r#""NetworkMode":"HOST""#,
        r#""NetworkMode":"container:abc""#,
        r#""NetworkMode":"ns:/proc/1/ns/net""#,
        r#""NetworkMode":"slirp4netns""#,
        r#""NetworkMode":"e68fd1f7e8c5e3dff50401a32b12ff6b12c57e2fc54d6501f702a0abcbd525c3""#,
        r#""NetworkMode":["host"]"#,
        r#""PidMode":"host""#,
        r#""PidMode":"container:abc""#,
        r#""IpcMode":"host""#,
        r#""IpcMode":"container:abc""#,
        r#""UTSMode":"host""#,
        r#""UsernsMode":"host""#,
        r#""UsernsMode":"keep-id""#,
        r#""CgroupnsMode":"host""#,
        r#""Cgroup":"container:abc""#,
        r#""Devices":[{"PathOnHost":"/dev/sda","PathInContainer":"/dev/sda","CgroupPermissions":"rwm"}]"#,
        r#""DeviceRequests":[{"Driver":"nvidia","Count":-1}]"#,
        r#""DeviceCgroupRules":["b *:* rwm"]"#,
        r#""CapAdd":["SYS_ADMIN"]"#,
        r#""CapAdd":"ALL""#,
        r#""SecurityOpt":["seccomp=unconfined"]"#,
        r#""SecurityOpt":["apparmor=unconfined"]"#,
        r#""SecurityOpt":["label=disable"]"#,
        r#""SecurityOpt":["systempaths=unconfined"]"#,
        r#""SecurityOpt":["no-new-privileges:false"]"#,
        r#""MaskedPaths":[]"#,
        r#""MaskedPaths":["/proc/acpi"]"#,
        r#""ReadonlyPaths":[]"#,
        r#""ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sysrq-trigger"]"#,
        r#""Sysctls":{"kernel.msgmax":"1"}"#,
        r#""CgroupParent":"/""#,
        r#""Runtime":"runc""#,
        r#""Runtime":"io.containerd.runc.v2""#,
        r#""VolumesFrom":["db"]"#,
        r#""VolumeDriver":"local""#,
        r#""Links":["db:db"]"#,
        r#""Annotations":{"run.oci.keep_original_groups":"1"}"#,
        r#""ContainerIDFile":"/x""#,
        r#""OomScoreAdj":-1000"#,
        r#""OomKillDisable":true"#,
        r#""CpuRealtimeRuntime":950000"#,
        r#""StorageOpt":{"overlay2.override_kernel_check":"1"}"#,
        r#""LogConfig":{"Type":"syslog","Config":{"syslog-address":"tcp://192.0.2.1"}}"#,
        r#""LogConfig":{"Type":"gelf"}"#,
        r#""LogConfig":{"Type":"fluentd"}"#,
        r#""LogConfig":{"Type":"json-file","Config":{"syslog-address":"unix:///run/docker.sock"}}"#,
        r#""RestartPolicy":{"Name":"whenever"}"#,
        r#""Ulimits":[{"Name":"nofile","Soft":1,"Hard":1,"More":1}]"#,
        r#""PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"80","Protocol":"x"}]}"#,
        r#""PortBindings":[]"#,
        r#""NewThing":true"#,
        r#""NewThing":[]"#,
        r#""NewThing":{"a":null}"#,
    ] {
        refused(&host(fields));
    }
    for body in [
        r"{}",
        r"[]",
        r#""a""#,
        r"null",
        r#"{"Image":""}"#,
        r#"{"Image":null}"#,
        r#"{"Image":"a","Name":"x"}"#,
        r#"{"Image":"a","HostConfig":[]}"#,
        r#"{"Image":"a","HostConfig":"x"}"#,
        r#"{"Image":"a","Env":{"A":"b"}}"#,
        r#"{"Image":"a","Env":["A=\u0000"]}"#,
        r#"{"Image":"a","Labels":{"a":1}}"#,
        r#"{"Image":"a","Volumes":{"/x:/y":{}}}"#,
        r#"{"Image":"a","Volumes":{"/x":{"Driver":"x"}}}"#,
        r#"{"Image":"a","Volumes":["/x"]}"#,
        r#"{"Image":"a","Healthcheck":{"Command":"x"}}"#,
        r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"host":{}}}}"#,
        r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"container:x":{}}}}"#,
        r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"b":{"Links":["db"]}}}}"#,
        r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"b":{"DriverOpts":{"com.docker.network.endpoint.sysctls":"x"}}}}}"#,
        r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"b":{"NetworkID":"x"}}}}"#,
        r#"{"Image":"a","NetworkingConfig":{"Endpoints":{"b":{}}}}"#,
        // up to 20.10 the Engine takes these beside HostConfig when that is not there
        r#"{"Image":"a","Privileged":true}"#,
        r#"{"Image":"a","Binds":["/:/x"],"HostConfig":null}"#,
        r#"{"Image":"a","MaskedPaths":[]}"#,
        r#"{"Image":"a","CpuShares":0,"Devices":[]}"#,
    ] {
        refused(body);
    }
}

#[test]
fn a_directory_of_the_machine_is_one_that_was_named_in_whatever_spelling() {
    for source in [
        "/",
        "//",
        "/.",
        "/..",
        "/run",
        "/run/",
        "/run//",
        "//run",
        "/./run",
        "/var/run",
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/docker.sock/",
        "/run//docker.sock",
        "/run/./docker.sock",
        "/srv/../run/docker.sock",
        "/srv/data/..",
        "/srv/data/../../run",
        "/srv/data/a/../../../run/docker.sock",
        "/var",
        "/var/lib",
        "/etc",
        "/var/lib/docker",
        "/var/lib/docker/volumes/x/_data",
        "/srv",
        "/srv/database",
        "/srv/dat",
        "/srv/data2",
        "/SRV/data",
        "/proc/1/root",
        "/proc/self/cwd",
        "/dev",
        "/run/user/1000/docker.sock",
        "/run/podman",
        "/run/containerd",
        "/srv/data/docker.sock",
        // in one that was named: somebody may have made a link there
        "/srv/data/a",
        "/srv/www/a/",
        "/srv/www//a/b",
        "srv/data",
        "./srv/data",
        "../run",
        ".",
        "..",
        "~",
        "~/x",
        "$HOME",
        "-v",
        "a/b",
        "a\\b",
        "/srv/data\\..\\..",
        "/ſrv/data",
        " /srv/data",
        "file:///srv/data",
        "%2frun",
        "",
        "\u{202e}data",
        "/srv/data/\u{0}",
    ] {
        refused(&host(&format!(r#""Binds":[{}]"#, serde_json::to_string(&format!("{source}:/x")).unwrap())));
        refused(&host(&format!(r#""Binds":["a:/a",{}]"#, serde_json::to_string(&format!("{source}:/x:ro")).unwrap())));
        if !source.is_empty() {
            let source = serde_json::to_string(source).unwrap();
            refused(&host(&format!(r#""Mounts":[{{"Type":"bind","Source":{source},"Target":"/x"}}]"#)));
        }
    }
    for bind in [
        "/srv/data:/x:shared",
        "/srv/data:/x:rw,rshared",
        "/srv/data:/x:U",
        "/srv/data:/x:",
        "a:b:c:d",
        "/srv/data:x",
        "data:/",
        "data:/x/..",
        ":/x",
        ":",
        "a:",
    ] {
        refused(&host(&format!(r#""Binds":["{bind}"]"#)));
    }
    for mount in [
        r#"{"Source":"/srv/data","Target":"/x"}"#,
        r#"{"Type":"","Source":"/","Target":"/x"}"#,
        r#"{"Type":"bind","Target":"/x"}"#,
        r#"{"Type":"bind","Source":"data","Target":"/x"}"#,
        r#"{"Type":"bind","Source":"/srv/data","Target":"/x","BindOptions":{"Propagation":"rshared"}}"#,
        r#"{"Type":"bind","Source":"/srv/data","Target":"/x","VolumeOptions":{"NoCopy":true}}"#,
        r#"{"Type":"npipe","Source":"x","Target":"/x"}"#,
        r#"{"Type":"cluster","Source":"x","Target":"/x"}"#,
        r#"{"Type":"image","Source":"x","Target":"/x"}"#,
        r#"{"Type":"Bind","Source":"/","Target":"/x"}"#,
        r#"{"Type":"volume","Source":"/","Target":"/x"}"#,
        r#"{"Type":"volume","Source":"../x","Target":"/x"}"#,
        r#"{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/"}}}}"#,
        r#"{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"device":"/"}}}}"#,
        r#"{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"vieux/sshfs"}}}"#,
        r#"{"Type":"volume","Target":"/x","VolumeOptions":{"Subpath":"../../x"}}"#,
        r#"{"Type":"volume","Target":"/x","BindOptions":{"CreateMountpoint":true}}"#,
        r#"{"Type":"tmpfs","Source":"/","Target":"/x"}"#,
        r#"{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[["exec"]]}}"#,
        r#"{"Type":"tmpfs","Target":"x"}"#,
        r#"{"Type":"volume","Source":"a","Target":"/x","Destination":"/y"}"#,
        r#""bind""#,
    ] {
        refused(&host(&format!(r#""Mounts":[{mount}]"#)));
    }
    refused(&host(r#""Mounts":{"Type":"bind","Source":"/","Target":"/x"}"#));
    for tmpfs in [r#"{"/x":"shared"}"#, r#"{"/x":"rw,dev"}"#, r#"{"/x":"suid"}"#, r#"{"/":""}"#, r#"{"/x":1}"#] {
        refused(&host(&format!(r#""Tmpfs":{tmpfs}"#)));
    }
    assert!(bare(&host(r#""Binds":["/srv/data:/x"]"#)).is_err(), "nothing is permitted unless it was named");
    // even where the operator named everything
    for source in
        ["/", "/run", "/var", "/var/run/docker.sock", "/proc/1/root/etc", "/opt/docker.sock", "/var/lib/docker"]
    {
        assert!(verdict(&host(&format!(r#""Binds":["{source}:/x"]"#))).is_err(), "{source}");
    }
    assert!(verdict(&host(r#""Binds":["/srv/data:/x"]"#)).is_ok());
}

#[test]
fn a_directory_is_named_by_itself_and_not_with_what_is_root() {
    let of = |binds: &[&str]| directories(&binds.iter().map(PathBuf::from).collect::<Vec<_>>());
    of(&[]).unwrap();
    of(&["/srv/data", "/srv/database", "/srv/www/", "/opt/a.b"]).unwrap();
    for binds in [
        &["/srv", "/srv/data"][..],
        &["/srv/data/a", "/opt", "/srv//data/"],
        &["/srv/data", "/srv/data/"],
        &["/"],
        &["/run"],
        &["/var"],
        &["/var/lib/docker/volumes"],
        &["/proc/1/root"],
        &["/opt/docker.sock"],
        &["/srv/../run"],
        &["srv"],
        &[""],
    ] {
        assert!(of(binds).is_err(), "{binds:?}");
    }
}

#[test]
fn the_volumes_of_a_body_are_those_with_a_name() {
    let body = host(
        r#""Binds":["a:/a","/srv/data:/b","/anonymous","c:/c:ro"],"Mounts":[{"Type":"volume","Source":"d","Target":"/d"},
        {"Type":"volume","Target":"/e"},{"Type":"bind","Source":"/srv/data","Target":"/f"},{"Type":"tmpfs","Target":"/g"}]"#,
    );
    assert_eq!(volumes(&parse(body.as_bytes()).unwrap()), ["a", "c", "d"]);
    assert!(volumes(&parse(br#"{"Image":"a","HostConfig":null}"#).unwrap()).is_empty());
}

#[test]
fn another_spelling_of_a_field_is_none() {
    for body in [
        r#"{"Image":"a","hostconfig":{"Privileged":true}}"#,
        r#"{"Image":"a","HOSTCONFIG":{}}"#,
        r#"{"Image":"a","hostConfig":null}"#,
        r#"{"Image":"a","HostConfig":{},"HostConfig":{"Privileged":true}}"#,
        r#"{"Image":"a","HostConfig":{},"Host\u0043onfig":{"Privileged":true}}"#,
        r#"{"Image":"a","image":""}"#,
        r#"{"Image":"a","Ho\u017ftConfig":{}}"#,
        r#"{"Image":"a","HoſtConfig":{"Privileged":true}}"#,
        r#"{"Image":"a","NetworkingConfig":{"endpointsconfig":{}}}"#,
        r#"{"Image":"a","Networ\u212aingConfig":null}"#,
        r#"{"Image":"a","maskedpaths":null}"#,
    ] {
        refused(body);
    }
    for fields in [
        r#""privileged":true"#,
        r#""PRIVILEGED":false"#,
        r#""Privileged":false,"Privileged":true"#,
        r#""maskedPaths":[]"#,
        r#""Networ\u212aMode":"host""#,
        r#""Ma\u017fkedPath\u017f":[]"#,
        r#""binds":["/:/x"]"#,
        r#""Mounts":[{"Type":"volume","type":"bind","Source":"a","source":"/","Target":"/x"}]"#,
        r#""Mounts":[{"Type":"volume","Type":"bind","Source":"/","Target":"/x"}]"#,
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"driverconfig":null}}]"#,
        r#""LogConfig":{"Type":"local","type":""}"#,
        r#""LogConfig":{"Type":"local","config":{}}"#,
    ] {
        refused(&host(fields));
    }
    assert!(parse(b"{\"Image\":\"\xff\"}").is_err());
    assert!(parse(br#"{"Image":"\ud800"}"#).is_err());
    assert!(parse(br#"{"Image":"a"} {"Image":"b"}"#).is_err());
    assert!(parse(("[".repeat(1000) + &"]".repeat(1000)).as_bytes()).is_err());
    // within a map of the caller's own names there is nothing to spell otherwise
    permitted(r#"{"Image":"a","Labels":{"a":"1","A":"2","hostconfig":"x","ſ":"y"}}"#);
}

#[test]
fn a_refusal_names_the_field() {
    let why = verdict(&host(r#""Mounts":[{"Type":"volume","Target":"/a"},{"Type":"volume","Target":"/x","Fancy":1}]"#));
    assert_eq!(why.unwrap_err(), "HostConfig.Mounts[1].Fancy is no field that may be set here");
    assert_eq!(verdict(&host(r#""Privileged":true"#)).unwrap_err(), "HostConfig.Privileged may not be this");
    // a name of the caller's is cut, and shown as text
    let why = verdict(&format!(r#"{{"Image":"a","\u001b[31m{}":1}}"#, "x".repeat(10_000))).unwrap_err();
    assert!(why.len() < 200 && why.starts_with(r"\u{1b}[31mxxx"), "{why}");
}

/// Two tables must not know a name in two spellings, or one would be let through in the place of the other.
#[test]
fn every_field_within_a_table_is_known_to_be_one() {
    fn collect(fields: Fields, into: &mut BTreeSet<&'static str>) {
        for (name, rule) in fields {
            into.insert(name);
            if let Object(fields) | Objects(_, fields) = rule {
                collect(fields, into);
            }
        }
    }
    let mut all = BTreeSet::new();
    for fields in [CONTAINER, ENDPOINT, mount::MOUNT, bounds::RATE, bounds::WEIGHT, bounds::ULIMIT] {
        collect(fields, &mut all);
    }
    let known: BTreeSet<_> = all_names().collect();
    assert_eq!(all.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// A body in which only this field says anything, wherever it stands.
fn with(object: &str, name: &str, value: Value) -> Value {
    let mut body = serde_json::json!({ "Image": "a" });
    match object {
        "" => body[name] = value,
        object => body[object] = Value::Object([(name.to_owned(), value)].into_iter().collect()),
    }
    body
}

/// What no field may say, of each kind: whatever is added to the tables is tried with all of them.
fn without_end() -> Vec<Value> {
    let many = 10_000;
    let texts = ["", "a", "a=b", "ALL", "/a", "80/tcp", "a:/a", "127.0.0.1", "no-new-privileges"];
    let objects = [
        r#"{}"#,
        r#"{"Type":"tmpfs","Target":"/a"}"#,
        r#"{"Path":"/dev/sda","Rate":1}"#,
        r#"{"Path":"/dev/sda","Weight":10}"#,
        r#"{"Name":"core","Soft":1,"Hard":1}"#,
    ];
    let mut all: Vec<Value> = [i64::MAX, i64::MIN, -2, 1 << 60].map(Value::from).to_vec();
    all.push(u64::MAX.into());
    all.push(serde_json::from_str("1e300").unwrap());
    all.push(serde_json::from_str("1.5").unwrap());
    all.extend(["9", "a", "/a", "0,", "{{.ID}}"].map(|text| text.repeat(300 << 10).into()));
    all.extend(texts.map(|text| vec![Value::from(text); many].into()));
    all.extend(["a", "/a", "a=a"].map(|text| vec![Value::from(text.repeat(300 << 10))].into()));
    all.extend(objects.map(|object| vec![serde_json::from_str::<Value>(object).unwrap(); many].into()));
    let map = |key: fn(usize) -> String, value: Value| (0..many).map(|n| (key(n), value.clone())).collect::<Value>();
    all.push(map(|n| format!("/{n}"), serde_json::json!({})));
    all.push(map(|n| format!("/{n}"), "".into()));
    all.push(map(|n| format!("{}/tcp", n + 1), serde_json::json!({})));
    all.push(map(|n| format!("{}/tcp", n % 65_535 + 1), serde_json::json!([{}])));
    all.push(map(|n| format!("n{n}"), Value::Null));
    all.push(map(|n| format!("n{n}"), "".into()));
    all
}

#[test]
fn no_field_of_a_body_takes_a_number_a_text_or_a_list_without_end() {
    for value in without_end() {
        let shown: String = value.to_string().chars().take(80).collect();
        for (object, fields) in [("", CONTAINER), ("HostConfig", HOST_CONFIG), ("Healthcheck", HEALTHCHECK)] {
            for (name, rule) in fields {
                // an object's own fields are tried by themselves
                if matches!(rule, Object(_)) && value.is_object() {
                    continue;
                }
                let why = check(&with(object, name, value.clone()), &[]);
                let why = why.expect_err(&format!("{object}.{name}: {shown}"));
                assert!(why.len() < 300, "{object}.{name}: {shown}: {why}");
            }
        }
    }
    let unused: Map<String, Value> = (0..1000).map(|n| (format!("Unused{n}"), Value::Null)).collect();
    assert!(check(&with("", "HostConfig", unused.into()), &[]).is_err());
}

/// With each of these one engine or another was out of work, for a body of a hundred bytes.
#[test]
fn a_body_cannot_disable_the_engine() {
    let log = |options: &str| host(&format!(r#""LogConfig":{{"Type":"json-file","Config":{{{options}}}}}"#));
    for options in [
        r#""max-size":"1""#,
        r#""max-size":"63k""#,
        r#""max-size":"0""#,
        r#""max-size":"-2""#,
        r#""max-size":"1.5m""#,
        r#""max-size":"99999999999999999999""#,
        r#""max-size":"10m","max-file":"2000000000""#,
        r#""max-size":"10m","max-file":"101""#,
        r#""max-file":"0""#,
        r#""max-file":"-1""#,
        r#""max-file":"+5""#,
        r#""mode":"non-blocking","max-buffer-size":"8g""#,
        r#""max-buffer-size":"70m""#,
        r#""max-buffer-size":"-1""#,
        r#""mode":"fast""#,
        r#""compress":"1""#,
        r#""tag":"{{pad .Name 1000000000 0}}""#,
        r#""tag":"{{printf \"%999999d\" 1}}""#,
        r#""tag":"{{.ID}} {{range .ContainerEnv}}{{.}}{{end}}""#,
        r#""tag":"{{.ID""#,
        r#""tag":"{{.Config}}""#,
        r#""tag":"a }} b""#,
        r#""tag":"{{/* */}}""#,
        r#""labels-regex":"((a{1000}){1000}){1000}""#,
        r#""env-regex":"a{9}""#,
        r#""path":"/etc/passwd""#,
        r#""syslog-address":"tcp://192.0.2.1""#,
    ] {
        refused(&log(options));
    }
    permitted(&log(
        r#""max-size":"10m","max-file":"3","compress":"true","mode":"non-blocking","max-buffer-size":"4m","labels":"a,b","tag":"{{.Name}}/{{ .ID }}""#,
    ));
    permitted(&log(r#""max-size":"-1","labels-regex":"^(prod|test)-.*","env":"OS,REGION""#));
    for set in ["0-4000000000", "0-8192", "8192", "3-1", "-1", "0-", "a", "0,,1", "0x1", "00000", "0-3 ", "^1", "0:2"] {
        refused(&host(&format!(r#""CpusetCpus":"{set}""#)));
        refused(&host(&format!(r#""CpusetMems":"{set}""#)));
    }
    refused(&host(&format!(r#""CpusetCpus":"{}""#, ["0"; 1000].join(","))));
    permitted(&host(r#""CpusetCpus":"0-3,8,10-8191","CpusetMems":"0""#));
    for limit in [
        r#"{"Name":"rtprio","Soft":99,"Hard":99}"#,
        r#"{"Name":"rtprio","Soft":0,"Hard":1}"#,
        r#"{"Name":"nice","Soft":40,"Hard":40}"#,
        r#"{"Name":"memlock","Soft":-1,"Hard":-1}"#,
        r#"{"Name":"memlock","Soft":1,"Hard":1099511627776}"#,
        r#"{"Name":"msgqueue","Soft":-1,"Hard":-1}"#,
        r#"{"Name":"sigpending","Soft":-1,"Hard":-1}"#,
        r#"{"Name":"nofile","Soft":-1,"Hard":-1}"#,
        r#"{"Name":"nofile","Soft":1073741816,"Hard":1073741816}"#,
        r#"{"Name":"rttime","Soft":1,"Hard":1}"#,
        r#"{"Name":"as","Soft":1,"Hard":1}"#,
        r#"{"Name":"NOFILE","Soft":1,"Hard":1}"#,
        r#"{"Name":"RLIMIT_RTPRIO","Soft":99,"Hard":99}"#,
        r#"{"Name":"","Soft":1,"Hard":1}"#,
        r#"{"Soft":1,"Hard":1}"#,
        r#"{"Name":"nofile","Soft":-2,"Hard":1}"#,
        r#"{"Name":"core"},{"Name":"core"}"#,
    ] {
        refused(&host(&format!(r#""Ulimits":[{limit}]"#)));
    }
    permitted(&host(
        r#""Ulimits":[{"Name":"nofile","Soft":1024,"Hard":1048576},{"Name":"nproc","Soft":-1,"Hard":4194304},{"Name":"core","Soft":-1,"Hard":-1},{"Name":"memlock","Soft":65536,"Hard":65536}]"#,
    ));
    let check = |field: &str| format!(r#"{{"Image":"a","Healthcheck":{{"Test":["CMD","true"],{field}}}}}"#);
    for field in [
        r#""Interval":1000000"#,
        r#""Interval":1"#,
        r#""StartInterval":1000000"#,
        r#""Interval":-1"#,
        r#""Retries":100000"#,
        r#""StartPeriod":9000000000000000000"#,
    ] {
        refused(&check(field));
    }
    permitted(&check(
        r#""Interval":1000000000,"Timeout":500000000,"StartPeriod":60000000000,"StartInterval":0,"Retries":3"#,
    ));
    for fields in [
        r#""PublishAllPorts":true"#,
        r#""PortBindings":{"1-65535/tcp":[{"HostPort":""}]}"#,
        r#""PortBindings":{"0/tcp":null}"#,
        r#""PortBindings":{"80/icmp":null}"#,
        r#""PortBindings":{"80/tcp":[{"HostPort":"70000"}]}"#,
        r#""PortBindings":{"80/tcp":[{"HostPort":"90-80"}]}"#,
        r#""PortBindings":{"80/tcp":[{"HostIp":"localhost","HostPort":"80"}]}"#,
        r#""ShmSize":1099511627776"#,
        r#""ShmSize":-1"#,
        r#""PidsLimit":4194305"#,
        r#""OomScoreAdj":1001"#,
        r#""BlkioWeight":5"#,
        r#""BlkioWeight":1001"#,
        r#""CpuPeriod":1"#,
        r#""CpuShares":-1"#,
        r#""NanoCpus":-1"#,
        r#""MemorySwappiness":101"#,
        r#""RestartPolicy":{"Name":"on-failure","MaximumRetryCount":-1}"#,
        r#""RestartPolicy":{"Name":"on-failure","MaximumRetryCount":2000000000}"#,
        r#""ConsoleSize":[1,2,3]"#,
        r#""ConsoleSize":[70000,1]"#,
        r#""StorageOpt":{"size":"lots"}"#,
        r#""Dns":["one.one.one.one"]"#,
        r#""Tmpfs":{"/x":"size=0"}"#,
        r#""Tmpfs":{"/x":"size=101%"}"#,
        r#""Tmpfs":{"/x":"nr_inodes=0"}"#,
        r#""Tmpfs":{"/x":"mode=999"}"#,
        r#""Tmpfs":{"/x":"uid=-1"}"#,
        r#""Tmpfs":{"/x":"mpol=bind"}"#,
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"SizeBytes":-1}}]"#,
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Mode":65535}}]"#,
        r#""SecurityOpt":["no-new-privileges","no-new-privileges","no-new-privileges","no-new-privileges"]"#,
    ] {
        refused(&host(fields));
    }
    for fields in [
        r#""Tmpfs":{"/x":"rw,size=50%,nr_inodes=10k,mode=01777,uid=1000,gid=0"}"#,
        r#""PortBindings":{"80/tcp":[{"HostIp":"::1","HostPort":"8000-8010"},{"HostPort":"80"}],"53/udp":[{}],"90":null}"#,
        r#""PidsLimit":-1,"CpuPeriod":100000,"CpuQuota":50000,"ShmSize":67108864,"OomScoreAdj":1000,"BlkioWeight":500"#,
        r#""ConsoleSize":[0,0],"CpuCount":0,"Dns":["192.0.2.1","fe80::1"],"StorageOpt":{"size":"10GiB"}"#,
    ] {
        permitted(&host(fields));
    }
    let ports =
        |count: usize| (1..=count).map(|port| (format!("{port}/udp"), serde_json::json!([{}]))).collect::<Value>();
    permitted(&with("HostConfig", "PortBindings", ports(256)).to_string());
    refused(&with("HostConfig", "PortBindings", ports(257)).to_string());
    let one = serde_json::json!({ "80/tcp": vec![serde_json::json!({}); 257] });
    refused(&with("HostConfig", "PortBindings", one).to_string());
    for field in
        [r#""StopTimeout":3601"#, r#""StopTimeout":-1"#, r#""Hostname":"a\nb""#, r#""ExposedPorts":{"1-65535/tcp":{}}"#]
    {
        refused(&format!(r#"{{"Image":"a",{field}}}"#));
    }
}

/// What an engine says of a path, it says as root: nothing passes by which it would tell what is there and what is not.
#[test]
fn no_path_of_the_machine_is_looked_at_that_was_not_named() {
    for path in [
        "/etc/shadow",
        "/nonexistent",
        "/dev",
        "/dev/",
        "/dev/..",
        "/dev/../etc/shadow",
        "/dev/mapper/x",
        "/dev//sda",
        "/dev/.hidden",
        "/devices",
        "dev/sda",
        "",
        "/proc/1/root",
        "/dev/sda\\u0000",
    ] {
        for field in [
            "BlkioDeviceReadBps",
            "BlkioDeviceWriteBps",
            "BlkioDeviceReadIOps",
            "BlkioDeviceWriteIOps",
            "BlkioWeightDevice",
        ] {
            let number = if field == "BlkioWeightDevice" { "Weight" } else { "Rate" };
            refused(&host(&format!(r#""{field}":[{{"Path":"{path}","{number}":100}}]"#)));
            refused(&host(&format!(r#""{field}":[{{"{number}":100,"Path":"{path}"}}]"#)));
        }
        for fields in [
            format!(r#""Devices":[{{"PathOnHost":"{path}","PathInContainer":"/x","CgroupPermissions":"r"}}]"#),
            format!(r#""SecurityOpt":["seccomp={path}"]"#),
            format!(r#""SecurityOpt":["apparmor={path}"]"#),
            format!(r#""LogConfig":{{"Type":"json-file","Config":{{"path":"{path}"}}}}"#),
            format!(
                r#""Mounts":[{{"Type":"bind","Source":"{path}","Target":"/x","BindOptions":{{"CreateMountpoint":true}}}}]"#
            ),
            format!(
                r#""Mounts":[{{"Type":"volume","Target":"/x","VolumeOptions":{{"DriverConfig":{{"Options":{{"device":"{path}"}}}}}}}}]"#
            ),
            format!(r#""ContainerIDFile":"x{path}""#),
            format!(r#""CgroupParent":"x{path}""#),
        ] {
            refused(&host(&fields));
        }
    }
    // where a path is refused, it is so in the same words whether it is there or not
    let said = |path: &str| bare(&host(&format!(r#""Binds":["{path}:/x"]"#))).unwrap_err();
    assert_eq!(said("/etc"), said("/nonexistent"));
    permitted(&host(
        r#""BlkioDeviceReadBps":[{"Path":"/dev/nvme0n1","Rate":1048576}],"BlkioWeightDevice":[{"Path":"/dev/dm-0","Weight":300}]"#,
    ));
}

#[test]
fn a_container_does_not_begin_in_a_directory_that_an_engine_has_open() {
    for directory in [
        "/proc/self/fd/7",
        "/proc/self/fd/7/../..",
        "/proc",
        "/proc/1/cwd",
        "//proc//self/fd/8",
        "/./proc/self/fd/8",
        "/proc/thread-self/fd/8",
        "/x/../proc/self/fd/8",
        "/dev/fd/7",
        "/dev/stdin",
        "proc/self/fd/7",
        "x",
        "..",
        "/x\\ny",
    ] {
        refused(&format!(r#"{{"Image":"a","WorkingDir":"{directory}"}}"#));
    }
    for target in ["/proc", "/proc/self/attr", "/proc//sys", "/dev/fd"] {
        refused(&host(&format!(r#""Binds":["v:{target}"]"#)));
        refused(&host(&format!(r#""Mounts":[{{"Type":"volume","Source":"v","Target":"{target}"}}]"#)));
        refused(&host(&format!(r#""Tmpfs":{{"{target}":""}}"#)));
        refused(&format!(r#"{{"Image":"a","Volumes":{{"{target}":{{}}}}}}"#));
    }
    for directory in ["", "/", "/srv/app", "/srv/a b,c", "/process", "/home/proc", "/dev/shm"] {
        permitted(&format!(r#"{{"Image":"a","WorkingDir":"{directory}"}}"#));
    }
}

#[test]
fn how_podman_mounts_a_volume_makes_none_one_that_may_do_more() {
    let of = |binds: &str| successor(&host(&format!(r#""Binds": [{binds}]"#)));
    for bind in ["data:/d:rw,rprivate,nosuid,nodev,rbind", "data:/d:ro,rprivate,rbind", "data:/d:rbind", "data:/d"] {
        assert_eq!(of(&format!("{bind:?}")), Ok(()), "{bind}");
    }
    for bind in
        ["/srv:/d:rw,rbind", "data:/d:rw,rshared", "data:/d:suid", "data:/d:dev,rbind", "/srv:rbind", "/:/rbind"]
    {
        assert!(of(&format!("{bind:?}")).is_err(), "{bind}");
    }
}

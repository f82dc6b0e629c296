use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What goes to the Engine in the place of this.
fn made(request: &str) -> Result<String, String> {
    let request = request.replace("{id}", ID);
    let (method, target) = request.split_once(' ').unwrap();
    Call::of(method, target).map(|call| call.target().replace(ID, "{id}"))
}

#[test]
fn what_passes_is_made_anew() {
    for (request, made_of_it) in [
        ("HEAD /_ping", "/_ping"),
        ("GET /_ping", "/_ping"),
        ("GET /v1.41/_ping", "/_ping"),
        ("GET /v1.51/containers/json", "/containers/json"),
        ("GET /containers/json?", "/containers/json"),
        ("GET /containers/json?all=1", "/containers/json?all=1"),
        ("GET /v1.41/containers/json?all=1&limit=5&size=true", "/containers/json?all=1&limit=5&size=true"),
        (
            "GET /containers/json?filters=%7B%22status%22%3A%7B%22running%22%3Atrue%7D%7D",
            "/containers/json?filters=%7B%22status%22:%7B%22running%22:true%7D%7D",
        ),
        (
            "GET /containers/json?filters={%22label%22:[%22a=b+c%22]}",
            "/containers/json?filters=%7B%22label%22:%5B%22a%3Db%20c%22%5D%7D",
        ),
        ("GET /containers/{id}/json", "/containers/{id}/json"),
        ("GET /containers/{id}/stats?stream=false&one-shot=1", "/containers/{id}/stats?stream=false&one-shot=1"),
        (
            "GET /v1.41/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&tail=100",
            "/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&tail=100",
        ),
        ("GET /images/json", "/images/json"),
        (
            "GET /images/json?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D",
            "/images/json?filters=%7B%22dangling%22:%5B%22true%22%5D%7D",
        ),
        ("GET /images/sha256:{id}/json", "/images/sha256:{id}/json"),
        ("GET /images/localhost:5000/a/b_c:V1.2/json", "/images/localhost:5000/a/b_c:V1.2/json"),
        ("GET /images/a@sha256:{id}/json", "/images/a@sha256:{id}/json"),
        ("GET /volumes", "/volumes"),
        ("GET /networks", "/networks"),
        ("GET /events?since=1700000000&until=1700000001", "/events?since=1700000000&until=1700000001"),
        ("GET /events?since=1700000000.000000001&stream=false", "/events?since=1700000000.000000001&stream=false"),
        ("GET /system/df", "/system/df"),
        ("POST /containers/{id}/start", "/containers/{id}/start"),
        ("POST /v1.41/containers/{id}/stop?t=10", "/containers/{id}/stop?t=10"),
        ("POST /containers/{id}/restart?t=0", "/containers/{id}/restart?t=0"),
        ("POST /containers/{id}/pause", "/containers/{id}/pause"),
        ("POST /containers/{id}/unpause", "/containers/{id}/unpause"),
        ("POST /containers/{id}/kill?signal=SIGKILL", "/containers/{id}/kill?signal=SIGKILL"),
        ("POST /containers/{id}/kill?signal=SIGRTMIN%2B3", "/containers/{id}/kill?signal=SIGRTMIN%2B3"),
        (
            "POST /containers/{id}/rename?name=web.smcp-old-0123456789ab",
            "/containers/{id}/rename?name=web.smcp-old-0123456789ab",
        ),
        ("DELETE /containers/{id}?v=true&force=false&link=false", "/containers/{id}?v=true&force=false&link=false"),
        ("POST /containers/create?name=web", "/containers/create?name=web"),
        ("POST /networks/{id}/connect", "/networks/{id}/connect"),
        (
            "POST /images/create?fromImage=localhost:5000/a/b&tag=1.2",
            "/images/create?fromImage=localhost:5000/a/b&tag=1.2",
        ),
        // one image, by its whole name
        ("POST /images/create?fromImage=a&tag=1&platform=", "/images/create?fromImage=docker.io/library/a&tag=1"),
        ("POST /images/create?fromImage=a", "/images/create?fromImage=docker.io/library/a&tag=latest"),
        ("POST /images/create?fromImage=t/a:2&tag=", "/images/create?fromImage=docker.io/t/a&tag=2"),
        ("POST /images/create?fromImage=dir&tag=etc", "/images/create?fromImage=docker.io/library/dir&tag=etc"),
        (
            "POST /images/create?fromImage=a&tag=sha256%3A{id}",
            "/images/create?fromImage=docker.io/library/a&tag=sha256:{id}",
        ),
        (
            "POST /images/create?fromImage=a:1@sha256:{id}",
            "/images/create?fromImage=docker.io/library/a&tag=sha256:{id}",
        ),
        ("DELETE /images/t/bb:1", "/images/t/bb:1"),
        ("DELETE /images/cafe:latest", "/images/cafe:latest"),
        ("DELETE /images/r:5000/a@sha256:{id}", "/images/r:5000/a@sha256:{id}"),
        ("DELETE /images/{id}", "/images/{id}"),
        ("DELETE /images/sha256:{id}", "/images/sha256:{id}"),
        ("DELETE /networks/{id}", "/networks/{id}"),
        ("DELETE /volumes/web_data", "/volumes/web_data"),
        ("GET /system/df?verbose=1&type=volume", "/system/df?verbose=1&type=volume"),
        (
            "POST /build/prune?all=true&filters=%7B%22id%22%3A%5B%22%5Eabc%24%22%5D%7D",
            "/build/prune?all=true&filters=%7B%22id%22:%5B%22%5Eabc%24%22%5D%7D",
        ),
    ] {
        match made(request) {
            Ok(made) => assert_eq!(made, made_of_it, "{request}"),
            Err(why) => panic!("{request}: {why}"),
        }
    }
}

#[test]
fn what_is_not_on_the_table_does_not_pass() {
    for request in [
        // ways in
        "POST /containers/{id}/exec",
        "POST /exec/{id}/start",
        "GET /exec/{id}/json",
        "POST /containers/{id}/attach?stream=1",
        "GET /containers/{id}/attach/ws",
        "POST /session",
        "POST /grpc",
        "POST /build?t=x",
        "POST /commit?container={id}",
        // ways out
        "GET /containers/{id}/archive?path=/",
        "HEAD /containers/{id}/archive?path=/",
        "PUT /containers/{id}/archive?path=/",
        "POST /containers/{id}/copy",
        "GET /containers/{id}/export",
        "GET /containers/{id}/changes",
        "GET /containers/{id}/top",
        "GET /images/get?names=a",
        "GET /images/a/get",
        "POST /images/load",
        "POST /images/a/push",
        "POST /images/a/tag?repo=b",
        "GET /images/search?term=a",
        "POST /images/create",
        "POST /images/create?tag=1",
        "POST /images/create?fromSrc=-",
        "POST /images/create?fromSrc=http://x/y&repo=a",
        "POST /images/create?fromImage=a&changes=CMD+x",
        // what this program has no use for
        "GET /version",
        "GET /info",
        "GET /containers/{id}/json?size=1",
        "GET /containers/{id}/logs?stdout=1&follow=1",
        "GET /containers/{id}/logs?stdout=1&since=1",
        "GET /containers/{id}/logs?stdout=1&until=1",
        "GET /containers/{id}/logs?stdout=1&tail=all",
        "GET /containers/{id}/logs?stdout=1&tail=",
        "GET /images/json?all=0",
        "GET /images/json?digests=1",
        "GET /images/json?filters=%7B%22reference%22%3A%5B%22a%22%5D%7D",
        "GET /volumes?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D",
        "GET /networks?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D",
        "GET /events?filters=%7B%22type%22%3A%5B%22image%22%5D%7D",
        "GET /events?since=2026-11-25T10:00:00Z",
        "GET /events?stream=true",
        "GET /system/df?type=image",
        "POST /containers/{id}/stop?t=-1",
        "POST /containers/{id}/stop?signal=SIGKILL",
        "POST /containers/{id}/restart?t=-1",
        "POST /containers/{id}/restart?signal=",
        "POST /containers/{id}/kill?signal=",
        "POST /containers/create?name=a&platform=",
        "POST /images/create?fromImage=a&platform=linux/arm64",
        "DELETE /images/a:1?force=true",
        "DELETE /images/a:1?noprune=false",
        // everything else there is
        "POST /containers/{id}/update",
        "POST /containers/{id}/wait",
        "POST /containers/{id}/resize?h=1&w=1",
        "POST /containers/{id}/start?checkpoint=x",
        "POST /containers/{id}/checkpoints",
        "POST /volumes/create",
        "DELETE /volumes/..",
        "POST /volumes/prune",
        "POST /containers/prune",
        "GET /networks/a",
        "GET /system/df?type=secret",
        "POST /build/prune?filters=%7B%22until%22%3A%5B%221h%22%5D%7D",
        "POST /networks/create",
        "DELETE /networks/a",
        "POST /networks/a/disconnect",
        "POST /swarm/init",
        "GET /swarm",
        "GET /nodes",
        "GET /services",
        "POST /services/create",
        "GET /secrets",
        "GET /configs",
        "GET /plugins",
        "POST /plugins/pull?remote=x",
        "POST /plugins/a/enable",
        "POST /auth",
        "GET /distribution/a/json",
        "GET /debug/pprof/",
        "GET /metrics",
        "GET /libpod/info",
        "GET /v4.0.0/libpod/containers/json",
        // other methods
        "PUT /containers/json",
        "PATCH /containers/{id}/json",
        "OPTIONS /_ping",
        "TRACE /_ping",
        "HEAD /containers/json",
        "HEAD /containers/{id}/json",
        "POST /_ping",
        "DELETE /containers/json",
        "GET /containers/{id}/start",
        "get /_ping",
        // no container by a name, which could be another's by the time it is acted on
        "POST /containers/web/stop",
        "GET /containers/web/json",
        "POST /containers/0123456789ab/stop",
        "DELETE /containers/web",
        // nor an image by what could be the beginning of an id
        "DELETE /images/a",
        "DELETE /images/cafe",
        "DELETE /images/r:5000/cafe",
        "DELETE /images/0123456789ab",
        "DELETE /images/sha256:0123456789ab",
        // nor a time that no container needs
        "POST /containers/{id}/stop?t=3601",
        "POST /containers/{id}/restart?t=99999999999",
        "GET /containers/{id}/logs?tail=9999999999",
        "POST /containers/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef/stop",
        // spellings
        "GET //containers/json",
        "GET /containers//json",
        "GET /containers/json/",
        "GET /containers/./json",
        "GET /x/../containers/json",
        "GET /containers/{id}/../../info",
        "GET /containers/json/../../images/get",
        "GET /containers/%2e%2e/info",
        "GET /containers%2fjson",
        "GET /%63ontainers/json",
        "GET /containers/json%00",
        "GET /containers/{id}%2fexport/json",
        "GET /images/a/../../containers/{id}/json",
        "GET /images//a/json",
        "GET /images/a%2fb/json",
        "GET /images/.a/json",
        "GET /images/a//json",
        "GET /images/-a/json",
        "GET /images/a;b/json",
        "GET /images/a?x/json",
        "GET /networks/a%20b",
        "GET /networks/..",
        "GET /Containers/json",
        "GET /containers/json;x",
        "GET /containers/json#x",
        "GET \\containers\\json",
        "GET http://d/_ping",
        "GET containers/json",
        "GET /v1.41/v1.41/containers/json",
        "GET /v1.41//containers/json",
        "GET /v1.41containers/json",
        "GET /v1./containers/json",
        "GET /v1.4100/containers/json",
        "GET /v1.4a/containers/json",
        "GET /v2.0/containers/json",
        "GET /V1.41/containers/json",
        "GET /v1.41",
        "GET /",
        // queries
        "GET /containers/json?all",
        "GET /containers/json?all=1&all=0",
        "GET /containers/json?%61ll=1",
        "GET /containers/json?ALL=1",
        "GET /containers/json?all=yes",
        "GET /containers/json?all=1&",
        "GET /containers/json?&all=1",
        "GET /containers/json?all=1;size=1",
        "GET /containers/json?all=1?size=1",
        "GET /containers/json?limit=1e9",
        "GET /containers/json?limit=%0a1",
        "GET /containers/json?limit=%zz",
        "GET /containers/json?limit=%3",
        "GET /containers/json?filters=%7B%22exec%22%3A%5B%22x%22%5D%7D",
        "GET /containers/json?filters=%7B%22id%22%3A%5B%5D%2C%22id%22%3A%5B%5D%7D",
        "GET /containers/json?filters=%5B%5D",
        "GET /containers/json?filters=%7B%22id%22%3A%22x%22%7D",
        "GET /containers/json?filters=%ff",
        "GET /containers/{id}/stats",
        "GET /containers/{id}/stats?stream=1&stream=0",
        "GET /containers/{id}/stats?stream=true",
        "GET /containers/{id}/logs?details=1",
        "GET /containers/{id}/logs?since=10m",
        "GET /containers/{id}/logs?tail=-1",
        "POST /containers/{id}/kill?signal=sh%20-c",
        "POST /containers/{id}/rename?name=../x",
        "POST /containers/{id}/rename?name=a%2fb",
        "POST /containers/create?name=a&name=b",
        "POST /containers/create?name=/a",
        "POST /images/create?fromImage=../a",
        "POST /images/create?fromImage=http://a/b",
        "POST /images/create?fromImage=a%26fromSrc%3d-",
        "POST /images/create?fromImage=a&tag=a/b",
        "POST /images/create?fromImage=a:1&tag=2",
        "POST /images/create?fromImage=a&tag=sha256:12",
        "POST /images/create?fromImage=dir:5/y",
        "POST /images/create?fromImage=oci-archive:5/y&tag=1",
        "POST /images/create?fromImage=docker://a",
        "DELETE /containers/{id}?link=1",
    ] {
        if let Ok(made) = made(request) {
            panic!("{request} became {made}");
        }
    }
    assert!(made(&format!("GET /images/{}/json", "a/".repeat(5000))).is_err());
    assert!(made(&format!("GET /containers/json?filters={}", "a".repeat(9000))).is_err());
}

#[test]
fn a_refusal_does_not_repeat_what_it_was_given() {
    let why = made(&format!("GET /containers/json?{}=1", "x".repeat(5000))).unwrap_err();
    assert!(why.len() < 120, "{why}");
}

#[test]
fn what_a_target_is_made_of_is_read_back_the_same() {
    for row in table::TABLE {
        let mut path = row.path.replace("{id}", ID).replace("{image}", "r:5000/a/b:1").replace("{name}", "web_default");
        if row.path == table::PULL {
            path.push_str("?fromImage=r:5000/a/b");
        }
        let call = Call::of(row.method, &format!("/v1.41{path}")).unwrap_or_else(|why| {
            // one has a word that must be there
            assert_eq!(row.path, "/containers/{id}/stats", "{why}");
            Call::of(row.method, &format!("{path}?stream=0")).unwrap()
        });
        assert!(std::ptr::eq(call.row, row), "{} {} is taken for {}", row.method, row.path, call.row.path);
        let again = Call::of(row.method, &call.target()).unwrap();
        assert_eq!((again.target(), again.subject), (call.target(), call.subject));
        assert_eq!(row.acts(), !matches!(row.method, "GET" | "HEAD"));
        assert!(row.body == Body::None || row.acts());
    }
}

#[test]
fn no_two_rows_are_for_the_same_request() {
    let mut rows: Vec<_> = table::TABLE.iter().map(|row| (row.method, row.path)).collect();
    rows.sort_unstable();
    let all = rows.len();
    rows.dedup();
    assert_eq!(rows.len(), all);
}

#[test]
fn nothing_is_done_to_the_guards_own_container() {
    let other = ID.replace('0', "f");
    let settings = |own: Option<&str>| Settings {
        docker: "/run/docker.sock".into(),
        read_only: false,
        binds: vec![],
        registries: Registries::default(),
        update_privileged: false,
        own: own.map(str::to_owned),
    };
    let (own, elsewhere, machine) = (settings(Some(ID)), settings(Some(&other)), settings(None));
    let mut refused = vec![];
    for row in table::TABLE.iter().filter(|row| row.acts()) {
        let mut path = row.path.replace("{id}", ID).replace("{image}", "a:1").replace("{name}", "a");
        if row.path == table::PULL {
            path.push_str("?fromImage=a");
        }
        let call = Call::of(row.method, &path).unwrap();
        assert_eq!((elsewhere.refused(&call), machine.refused(&call)), (None, None), "{path}");
        refused.extend(own.refused(&call).map(|_| format!("{} {}", row.method, row.path)));
    }
    let doings = ["start", "stop", "restart", "pause", "unpause", "kill", "rename"];
    let mut expected: Vec<_> = doings.iter().map(|doing| format!("POST /containers/{{id}}/{doing}")).collect();
    expected.push("DELETE /containers/{id}".to_owned());
    assert_eq!(refused, expected);
    // it may be looked at
    let look = Call::of("GET", &format!("/containers/{ID}/json")).unwrap();
    assert_eq!(own.refused(&look), None);
}

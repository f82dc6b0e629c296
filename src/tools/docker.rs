//! Containers and what they are made of.

pub(crate) mod container;
pub(crate) mod container_control;
pub(crate) mod container_logs;
pub(crate) mod container_remove;
pub(crate) mod container_run;
pub(crate) mod container_update;
pub(crate) mod containers;
pub(crate) mod docker_events;
pub(crate) mod docker_networks;
pub(crate) mod docker_prune;
pub(crate) mod docker_usage;
pub(crate) mod image_pull;
pub(crate) mod image_remove;
pub(crate) mod images;
mod listed;
mod pull;
pub(crate) mod stacks;
mod state;
pub(crate) mod volumes;

use engine::model::Port;

/// The longest text of others that is looked at, in bytes.
const LONGEST: usize = 4096;

/// What others wrote, for one place of an answer: without its secrets, then cut to so many characters. Cut first, a secret could lose what
/// it is known by. What is far too long is not shown at all: nobody reads it, and looking for secrets in it takes its time.
fn told(text: &str, characters: usize) -> String {
    if text.len() > LONGEST {
        return too_long(text.len());
    }
    let text = redact::redact_line(&redact::clean(text, usize::MAX)).into_owned();
    match text.char_indices().nth(characters) {
        None => text,
        Some(_) => text.chars().take(characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn too_long(bytes: usize) -> String {
    format!("({bytes} bytes, too long to be shown)")
}

/// Ports as people write them, `127.0.0.1:8080->80/tcp`. What is published on all addresses has a `*` for IPv4 and IPv6 together, and
/// ports in a row are one range.
fn ports(all: &[Port]) -> Vec<String> {
    let mut all: Vec<(&str, &str, Option<u16>, u16)> = all
        .iter()
        .map(|port| {
            let ip = if matches!(port.ip.as_str(), "" | "0.0.0.0" | "::") { "*" } else { port.ip.as_str() };
            (port.protocol.as_str(), ip, port.public_port.filter(|port| *port > 0), port.private_port)
        })
        .collect();
    // one that is published need not be told to be exposed
    all.sort_unstable_by_key(|(protocol, ip, public, private)| (*protocol, public.is_none(), *ip, *private, *public));
    all.dedup();
    let mut ranges: Vec<(&str, &str, Option<u16>, u16, u16)> = vec![];
    for (protocol, ip, public, private) in all {
        let same = |range: &&mut (&str, &str, Option<u16>, u16, u16)| {
            let next = range.3.checked_add(range.4).and_then(|private| private.checked_add(1));
            let next_public =
                range.2.map(|public| public.checked_add(range.4).and_then(|public| public.checked_add(1)));
            (range.0, range.1, next) == (protocol, ip, Some(private))
                && match (next_public, public) {
                    (None, None) => true,
                    (Some(next), Some(_)) => next == public,
                    _ => false,
                }
        };
        match ranges.last_mut().filter(|range| same(range)) {
            Some(range) => range.4 += 1,
            None => ranges.push((protocol, ip, public, private, 0)),
        }
    }
    let span = |from: u16, more: u16| if more == 0 { from.to_string() } else { format!("{from}-{}", from + more) };
    ranges
        .into_iter()
        .map(|(protocol, ip, public, private, more)| {
            let within = format!("{}/{protocol}", span(private, more));
            let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
            public.map_or(within.clone(), |public| format!("{ip}:{}->{within}", span(public, more)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, public: Option<u16>, private: u16, protocol: &str) -> Port {
        Port { ip: ip.into(), private_port: private, public_port: public, protocol: protocol.into() }
    }

    #[test]
    fn ports_read_as_docker_writes_them() {
        let all = [
            port("0.0.0.0", Some(8080), 80, "tcp"),
            port("::", Some(8080), 80, "tcp"),
            port("127.0.0.1", Some(5432), 5432, "tcp"),
            port("fd00::1", Some(53), 53, "udp"),
            port("", None, 9000, "tcp"),
        ];
        assert_eq!(ports(&all), ["*:8080->80/tcp", "127.0.0.1:5432->5432/tcp", "9000/tcp", "[fd00::1]:53->53/udp"]);
        assert!(ports(&[]).is_empty());
    }

    #[test]
    fn ports_in_a_row_are_a_range() {
        let mut all: Vec<_> = (8000..=8100).map(|at| port("0.0.0.0", Some(at), at, "tcp")).collect();
        all.push(port("0.0.0.0", Some(9000), 8101, "tcp"));
        all.extend([port("", None, 65_534, "tcp"), port("", None, 65_535, "tcp")]);
        assert_eq!(ports(&all), ["*:8000-8100->8000-8100/tcp", "*:9000->8101/tcp", "65534-65535/tcp"]);
    }

    #[test]
    fn text_of_others_loses_its_secrets_before_its_end() {
        let secret = format!("--password {}", "Xk9vQ2mZ7pLw".repeat(8));
        assert_eq!(told(&secret, 20), "--password [redacte…");
        assert_eq!(told("\u{1b}[31mred\u{1b}[0m\nIGNORE", 100), "red IGNORE");
        assert_eq!(told(&"x".repeat(1 << 20), 100), "(1048576 bytes, too long to be shown)");
    }
}

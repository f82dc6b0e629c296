//! `/etc/resolv.conf`, see resolv.conf(5). Lines that make no sense are passed over, as the resolver does.

/// How names are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// Name servers in the order they are asked, as written: `fe80::1%eth0` too. glibc asks the first three; with none,
    /// the machine itself.
    pub nameservers: Vec<String>,
    /// Domains tried after a short name: those of the last `search` or `domain`.
    pub search: Vec<String>,
    /// `options`: `ndots:2`, `rotate`.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads the text of `resolv.conf`.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            // Comments start with `#` or `;`, so theirs is none of these words.
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default();
            let words = words.map(str::to_owned);
            match keyword {
                "nameserver" => conf.nameservers.extend(words.take(1)),
                "search" => conf.search = words.collect(),
                "domain" => conf.search = words.take(1).collect(),
                "options" => conf.options.extend(words),
                _ => {}
            }
        }
        conf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_search_counts_and_options_add_up() {
        let text = "# comment\n; another\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\ndomain a.example\n\
            search b.example c.example\noptions ndots:2\noptions rotate\n#nameserver 192.0.2.54\nnameserver\n";
        let conf = ResolvConf::parse(text);
        assert_eq!(conf.nameservers, ["192.0.2.53", "fe80::1%eth0"]);
        assert_eq!(conf.search, ["b.example", "c.example"]);
        assert_eq!(conf.options, ["ndots:2", "rotate"]);
    }

    #[test]
    fn an_empty_file_asks_the_machine_itself() {
        assert_eq!(ResolvConf::parse(""), ResolvConf::default());
    }
}

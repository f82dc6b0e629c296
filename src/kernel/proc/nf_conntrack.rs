//! `/proc/net/stat/nf_conntrack`: what the tracking of connections did since the start. There is no manual page; see the kernel's
//! net/netfilter/nf_conntrack_standalone.c.

use std::collections::BTreeMap;

use super::Malformed;

/// Adds up the counters of all CPUs, by the names in the heading. `entries`, which stands in every line, is no counter and left out. A CPU's
/// line that makes no sense is left out; the first stands beside the rest.
pub fn parse(text: &str) -> (BTreeMap<&str, u64>, Option<Malformed>) {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let (mut counters, mut odd) = (BTreeMap::new(), None);
    for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
        let values = line.split_ascii_whitespace().map(|word| u64::from_str_radix(word, 16).ok());
        match values.collect::<Option<Vec<u64>>>().filter(|values| values.len() == names.len()) {
            Some(values) => {
                for (name, value) in names.iter().zip(values).filter(|(name, _)| **name != "entries") {
                    let sum: &mut u64 = counters.entry(*name).or_default();
                    *sum = sum.saturating_add(value);
                }
            }
            None => odd = odd.or_else(|| Some(Malformed::line("nf_conntrack", text, line))),
        }
    }
    (counters, odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn counters_of_all_cpus_are_added_up_by_name() {
        let text = "entries  clashres found new invalid\n00000005  00000000 0000000a 00000000 00000001\n\
                    00000005  00000000 00000001 00000000 ffffffff\n";
        let (counters, odd) = parse(text);
        let expected = BTreeMap::from([("clashres", 0), ("found", 11), ("new", 0), ("invalid", 1 << 32)]);
        assert_eq!((counters, odd), (expected, None));
    }

    #[test]
    fn a_line_that_is_cut_short_is_left_out() {
        let (counters, odd) = parse("entries found drop\n1 2 3\n1 2\n1 x 3\n");
        assert_eq!((counters, odd.unwrap().position), (BTreeMap::from([("found", 2), ("drop", 3)]), Position::Line(3)));
        assert_eq!(parse(""), (BTreeMap::new(), None));
    }
}

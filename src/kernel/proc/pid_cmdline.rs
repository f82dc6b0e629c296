//! `/proc/PID/cmdline`, see proc_pid_cmdline(5). The process may write anything here.

/// The arguments, in order; none for a thread of the kernel or a zombie.
///
/// A process that wrote a title over its arguments, with blanks for the NULs, shows as one argument that holds all of
/// it. Empty arguments at the end cannot be told from the NULs such a title leaves behind, and are left out.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let arguments = bytes.get(..end).unwrap_or_default();
    arguments.split(|byte| *byte == 0).filter(move |_| end > 0)
}

/// The arguments with a blank between, cut to `limit` bytes.
pub fn line(bytes: &[u8], limit: usize) -> Vec<u8> {
    let mut line: Vec<u8> = Vec::new();
    for (place, argument) in parse(bytes).enumerate() {
        line.extend((place > 0).then_some(b' '));
        line.extend(argument.iter().take(limit.saturating_sub(line.len())));
        if line.len() >= limit {
            break;
        }
    }
    line.truncate(limit);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(bytes: &[u8]) -> Vec<&[u8]> {
        parse(bytes).collect()
    }

    #[test]
    fn arguments_end_with_nul() {
        assert_eq!(arguments(b"sh\0-c\0echo a b\0"), [&b"sh"[..], b"-c", b"echo a b"]);
    }

    #[test]
    fn threads_of_the_kernel_have_none() {
        assert_eq!(arguments(b""), [&b""[..]; 0]);
        assert_eq!(line(b"", 9), b"");
    }

    #[test]
    fn a_title_is_one_argument() {
        assert_eq!(arguments(b"nginx: worker process"), [b"nginx: worker process"]);
        assert_eq!(arguments(b"sshd: root@pts/0\0\0\0\0"), [b"sshd: root@pts/0"]);
    }

    #[test]
    fn empty_arguments_in_between_count() {
        assert_eq!(arguments(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
    }

    #[test]
    fn a_line_is_cut_and_need_not_be_text() {
        assert_eq!(line(b"a\0b\xff\0c", 4), b"a b\xff");
        assert_eq!(line(b"a\0b\xff\0c", 3), b"a b");
        assert_eq!(line(b"a\0b", 0), b"");
        assert_eq!(line(b"a\0b\0c", 99), b"a b c");
    }
}


/// Whatever other programs write, nothing that moves a cursor or forges a line is left of it. Redacting a second time finds nothing, or
/// else what a caller may search were not what it is shown.
pub fn run(line: &str) {
    let clean = redact::clean(line, 200);
    assert!(!clean.chars().any(char::is_control));
    let redacted = redact::redact_line(line);
    assert!(!redact::clean(&redacted, usize::MAX).chars().any(char::is_control));
    assert_eq!(redact::redact_line(&redacted), redacted);
    // each line of a text comes out as one, whatever those before it said of it
    let mut redactor = redact::Redactor::default();
    for line in line.split('\n') {
        let redacted = redactor.line(line);
        assert!(!redacted.contains('\n'));
        assert_eq!(redact::redact_line(&redacted), redacted);
    }
    let arguments: Vec<&str> = line.split('\0').collect();
    let redacted = redact::redact_arguments(&arguments);
    assert_eq!(redact::redact_line(&redacted), redacted);
    let (before, behind) = line.split_once('\t').unwrap_or((line, ""));
    hides_key(before, behind);
}

/// Lines of a key, made by rule.
const KEY: [&str; 3] = [
    "q7RkT2vXa9Lw/ZbN4cJ8+eYhPdGm1sUfQ3oKiB5xVtA0nWEyCr6jMzHlSgDuIpF8",
    "Zx3Vb7Nm1Qw5Er9Ty+Ui2Op6As0Df4Gh8Jk/LpZ2Xc6Vb0Nm4Qa8Ws1Ed5Rf9Tg3",
    "b2Yh6Nu0Jm4Ik8Ol",
];

/// Whatever stands around the lines of a private key, they are hidden.
fn hides_key(before: &str, behind: &str) {
    // what ends a key, or begins another, is the one thing that may
    if [before, behind].iter().any(|text| ["\n", "END", "BEGIN", "Private-"].iter().any(|sign| text.contains(sign))) {
        return;
    }
    let heading = redact::clean(&format!("{before}-----BEGIN RSA PRIVATE KEY-----{behind}"), usize::MAX).into_owned();
    if !heading.contains("-----BEGIN RSA PRIVATE KEY-----") {
        return;
    }
    let mut redactor = redact::Redactor::default();
    redactor.line(&heading);
    for line in KEY {
        let cleaned = redact::clean(&format!("{before}{line}{behind}"), usize::MAX).into_owned();
        let shown = redactor.line(&cleaned);
        let parts = (0..=line.len() - 16).map(|at| &line[at..at + 16]);
        assert_eq!(parts.into_iter().find(|part| shown.contains(part)), None, "{shown:?}");
    }
}

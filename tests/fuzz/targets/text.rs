use systemmanager_mcp::text;

/// Whatever other programs write, nothing that moves a cursor or forges a line is left of it. Redacting a second time finds nothing, or
/// else what a caller may search were not what it is shown.
pub fn run(line: &str) {
    let clean = text::clean(line, 200);
    assert!(!clean.chars().any(char::is_control));
    let redacted = text::redact_line(line);
    assert!(!text::clean(&redacted, usize::MAX).chars().any(char::is_control));
    assert_eq!(text::redact_line(&redacted), redacted);
    // each line of a text comes out as one, whatever those before it said of it
    let mut redactor = text::Redactor::default();
    for line in line.split('\n') {
        let redacted = redactor.line(line);
        assert!(!redacted.contains('\n'));
        assert_eq!(text::redact_line(&redacted), redacted);
    }
    let arguments: Vec<&str> = line.split('\0').collect();
    let redacted = text::redact_arguments(&arguments);
    assert_eq!(text::redact_line(&redacted), redacted);
}

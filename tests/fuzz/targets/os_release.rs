use kernel::proc::os_release::OsRelease;

pub fn run(text: &str) {
    let os = OsRelease::parse(text);
    assert!(!os.id.is_empty() && !os.name.is_empty() && !os.pretty_name.is_empty());
}

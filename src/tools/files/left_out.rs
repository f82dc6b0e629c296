//! What a search has not looked at, in words.

use jail::walk::Passed;

/// Clauses that say it.
#[derive(Debug, Default)]
pub(super) struct LeftOut(Vec<String>);

impl LeftOut {
    /// What a walk has passed by.
    pub(super) fn of(passed: &Passed) -> Self {
        let mut left_out = Self::default();
        left_out.count(passed.denied, "kept from callers");
        left_out.count(passed.unreadable, "directories that this server may not list");
        if !passed.mounts.is_empty() {
            let mounts: Vec<String> = passed.mounts.iter().map(|path| text::quote_path(path)).collect();
            left_out.say(format!("what is mounted at {}", mounts.join(", ")));
        }
        left_out
    }

    /// One more.
    pub(super) fn say(&mut self, words: impl Into<String>) {
        self.0.push(words.into());
    }

    /// One before all others.
    pub(super) fn say_first(&mut self, words: impl Into<String>) {
        self.0.insert(0, words.into());
    }

    /// So many of these, if there are any.
    pub(super) fn count(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.0.push(format!("{what}: {count}"));
        }
    }

    /// All of it. `None`: nothing.
    pub(super) fn told(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("; "))
    }
}

//! What takes a container's place, and by which names: what the server sends, and what docker-guard lets through.
//!
//! # The convention
//! A container `web` with the id `0123456789ab…` is replaced like this:
//! - `POST /containers/create?name=web.smcp-new-0123456789ab`. [`Replaced::by`] reads from that name whom it replaces. Whoever guards the
//!   socket inspects the container of that name, sees that it is the one ([`Replaced::is`]), and holds the body to what it works out itself
//!   from the same three inspects.
//! - `POST /networks/{id}/connect` for each further network, before it is started.
//! - the old one becomes `web.smcp-old-0123456789ab`, the new one `web`. The old one is removed when the new one is good.
//!
//! The names are made of what they stand for and nothing else, so that after a crash they say what they are without any journal, and a
//! second try for the same container meets the leftovers of the first.

use super::model::short;

/// Between the name and the short id of whom it replaces.
const NEW: &str = ".smcp-new-";
/// Between the name it had and its own short id.
const OLD: &str = ".smcp-old-";

/// The container that is replaced, as the name of its successor tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its name, without a slash.
    pub name: String,
    /// The first twelve digits of its id.
    pub short_id: String,
}

impl Replaced {
    /// The container with this name (with or without a slash) and full id.
    pub fn new(name: &str, id: &str) -> Self {
        Self { name: name.trim_start_matches('/').to_owned(), short_id: short(id).to_owned() }
    }

    /// Whom the container called `new` replaces, if its name is such a one.
    pub fn by(new: &str) -> Option<Self> {
        let (name, short_id) = new.rsplit_once(NEW)?;
        let is_id = short_id.len() == 12 && short_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // one that is half there itself is nobody's to replace
        let is_own = !name.is_empty() && !name.contains(NEW) && !name.contains(OLD);
        (is_id && is_own).then(|| Self { name: name.to_owned(), short_id: short_id.to_owned() })
    }

    /// Whether the container with this full id and name, as it was inspected, is the one.
    pub fn is(&self, id: &str, name: &str) -> bool {
        id.len() == 64 && id.starts_with(&self.short_id) && name.strip_prefix('/').unwrap_or(name) == self.name
    }

    /// What its successor is called until it takes the name.
    pub fn new_name(&self) -> String {
        format!("{}{NEW}{}", self.name, self.short_id)
    }

    /// What it is called itself from when it gave up the name until it is removed.
    pub fn old_name(&self) -> String {
        format!("{}{OLD}{}", self.name, self.short_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whom_it_replaces() {
        let id = "0123456789abcdef".repeat(4);
        let replaced = Replaced::new("/web", &id);
        assert_eq!(replaced.new_name(), "web.smcp-new-0123456789ab");
        assert_eq!(replaced.old_name(), "web.smcp-old-0123456789ab");
        assert_eq!(Replaced::by(&replaced.new_name()), Some(replaced.clone()));
        assert!(replaced.is(&id, "/web") && replaced.is(&id, "web"));
        assert!(!replaced.is(&id, "/web2") && !replaced.is(&"f".repeat(64), "/web") && !replaced.is(&id[..12], "/web"));
        for other in [
            "web",
            "",
            ".smcp-new-0123456789ab",
            "web.smcp-new-",
            "web.smcp-new-0123456789AB",
            "web.smcp-new-0123456789abc",
            "web.smcp-old-0123456789ab",
            "web.smcp-new-0123456789ab.smcp-new-0123456789ab",
            "web.smcp-old-0123456789ab.smcp-new-0123456789ab",
        ] {
            assert_eq!(Replaced::by(other), None, "{other}");
        }
    }
}

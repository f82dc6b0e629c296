//! One call at a time acts on a thing: a client that has given up and asks again finds the first call still at work, and does not have
//! it done twice.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::Docker;
use kernel::failure::Failure;

/// What is being acted on, by full id.
pub(super) type Held = Arc<Mutex<BTreeSet<String>>>;

/// The right to act on one thing, given back when dropped.
#[derive(Debug)]
pub struct Hold {
    held: Held,
    id: String,
}

impl Docker {
    /// Holds `id` against every other call of this server. `name` is what the caller knows it by.
    pub fn hold(&self, id: &str, name: &str) -> Result<Hold, Failure> {
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned()) {
            return Ok(Hold { held: Arc::clone(&self.held), id: id.to_owned() });
        }
        Err(Failure::Refused(format!("another call is still at work on {name}: see what becomes of it before you act")))
    }

    /// Whether some call acts on `id` right now.
    pub fn is_held(&self, id: &str) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_call_holds_no_other_gets_until_it_has_ended() {
        let docker = Docker::none();
        let first = docker.hold("abc", "web").unwrap();
        let why = docker.clone().hold("abc", "web").unwrap_err().to_string();
        assert!(why.contains("web"), "{why}");
        assert!(docker.hold("def", "db").is_ok() && docker.is_held("abc"));
        drop(first);
        assert!(!docker.is_held("abc") && docker.hold("abc", "web").is_ok());
    }
}

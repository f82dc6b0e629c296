//! What `tools/list` says: made once for each set of actions that callers may do, as schemas are slow to make and long to write.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use rmcp::model::Tool;

use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::grant::{Grants, Powers};
use tools::tool::Entry;

/// Where it is made.
pub(super) const LANE: Lane = Lane::List;

/// Sets that are remembered. There is one for each kind of token; past it all are made again.
const REMEMBERED: usize = 64;

/// The tools that a caller may call.
#[derive(Debug)]
pub struct Listed {
    /// As rmcp knows them.
    pub tools: Vec<Tool>,
    /// The same, written down.
    pub json: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Lists {
    described: OnceLock<Vec<Tool>>,
    /// By the actions of each scope.
    listed: Mutex<HashMap<Powers, Arc<Listed>>>,
}

impl Lists {
    /// Those of `tools` that `grants` allow, in their order; of a tool's actions those that they allow.
    pub(super) fn of(&self, tools: &'static [Entry], grants: &Grants) -> Result<Arc<Listed>, Failure> {
        let held = grants.powers();
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = listed.get(&held) {
            return Ok(Arc::clone(known));
        }
        let described = self.described.get_or_init(|| tools.iter().map(Entry::describe).collect());
        let visible = tools.iter().zip(described).filter(|(tool, _)| tool.is_open_to(grants));
        let visible: Vec<_> = visible.map(|(tool, described)| tool.narrowed(described, grants)).collect();
        let json = serde_json::to_vec(&visible).map_err(|error| Failure::Internal(error.into()))?;
        if listed.len() >= REMEMBERED {
            listed.clear();
        }
        let new = Arc::new(Listed { tools: visible, json: json.into() });
        listed.insert(held, Arc::clone(&new));
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tools::TOOLS;

    #[test]
    fn a_list_is_written_once_for_each_set_of_actions() {
        let lists = Lists::default();
        let all = lists.of(TOOLS, &Grants::all()).unwrap();
        assert!(Arc::ptr_eq(&all, &lists.of(TOOLS, &Grants::all()).unwrap()));
        let less = lists.of(TOOLS, &Grants::usual()).unwrap();
        assert!(less.tools.len() < all.tools.len() && less.json.len() < all.json.len());
        assert_eq!(all.json, serde_json::to_vec(&all.tools).unwrap());
    }
}

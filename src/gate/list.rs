//! What `tools/list` says: made once for each set of scopes, as schemas are slow to make and long to write.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use rmcp::model::Tool;

use crate::{failure::Failure, lane::Lane, scope::Scopes, tool::Entry};

/// Where it is made.
pub(super) const LANE: Lane = Lane::List;

/// Sets of scopes that are remembered. There is one for each kind of token; past it all are made again.
const REMEMBERED: usize = 64;

/// The tools that a set of scopes may call.
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
    listed: Mutex<HashMap<Scopes, Arc<Listed>>>,
}

impl Lists {
    /// Those of `tools` that `scopes` allow, in their order.
    pub(super) fn of(&self, tools: &'static [Entry], scopes: Scopes) -> Result<Arc<Listed>, Failure> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = listed.get(&scopes) {
            return Ok(Arc::clone(known));
        }
        let described = self.described.get_or_init(|| tools.iter().map(Entry::describe).collect());
        let visible = tools.iter().zip(described).filter(|(tool, _)| scopes.contain(tool.scope));
        let visible: Vec<_> = visible.map(|(_, described)| described.clone()).collect();
        let json = serde_json::to_vec(&visible).map_err(|error| Failure::Internal(error.into()))?;
        if listed.len() >= REMEMBERED {
            listed.clear();
        }
        let new = Arc::new(Listed { tools: visible, json: json.into() });
        listed.insert(scopes, Arc::clone(&new));
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::TOOLS;

    #[test]
    fn a_list_is_written_once_for_each_set_of_scopes() {
        let lists = Lists::default();
        let all = lists.of(TOOLS, Scopes::all()).unwrap();
        assert!(Arc::ptr_eq(&all, &lists.of(TOOLS, Scopes::all()).unwrap()));
        let less = lists.of(TOOLS, Scopes::read_only()).unwrap();
        assert!(less.tools.len() < all.tools.len() && less.json.len() < all.json.len());
        assert_eq!(all.json, serde_json::to_vec(&all.tools).unwrap());
    }
}

//! One page of a long list: how many rows it has, and where the next one begins.

use std::{
    borrow::Cow,
    fmt::{self, Display},
    hash::{DefaultHasher, Hash, Hasher},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use kernel::failure::Failure;

/// The argument `limit`: rows from 1 to `MOST`, and `DEFAULT` of them unless the caller says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit<const DEFAULT: usize, const MOST: usize>(usize);

impl<const DEFAULT: usize, const MOST: usize> Limit<DEFAULT, MOST> {
    /// How many rows.
    pub const fn rows(self) -> usize {
        self.0
    }
}

impl<const DEFAULT: usize, const MOST: usize> Default for Limit<DEFAULT, MOST> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de, const DEFAULT: usize, const MOST: usize> Deserialize<'de> for Limit<DEFAULT, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Rows::<DEFAULT, MOST>)
    }
}

struct Rows<const DEFAULT: usize, const MOST: usize>;

impl<const DEFAULT: usize, const MOST: usize> de::Visitor<'_> for Rows<DEFAULT, MOST> {
    type Value = Limit<DEFAULT, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a limit from 1 to {MOST}")
    }

    fn visit_u64<E: de::Error>(self, rows: u64) -> Result<Self::Value, E> {
        let within = usize::try_from(rows).ok().filter(|rows| (1..=MOST).contains(rows));
        within.map(Limit).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(rows), &self))
    }

    /// Some clients send null for what they leave out.
    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Limit::default())
    }
}

impl<const DEFAULT: usize, const MOST: usize> JsonSchema for Limit<DEFAULT, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Limit_{DEFAULT}_{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "null"], "minimum": 1, "maximum": MOST, "default": DEFAULT })
    }
}

/// A page as it was asked for. `P` is the place in the list that a cursor holds: the key of the last row told, where rows have keys that
/// put them in order ([`Page::by_key`]), or else how many rows were told ([`Page::by_count`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<P> {
    limit: usize,
    told: Option<P>,
    mark: u16,
}

impl<P> Page<P> {
    /// The first page, of those who never ask for the next.
    pub const fn first(limit: usize) -> Self {
        Self { limit, told: None, mark: 0 }
    }

    /// How many rows it may have.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The place after which it begins; `None`: at the beginning of the list.
    pub const fn told(&self) -> Option<&P> {
        self.told.as_ref()
    }

    /// The same page with this many rows at most.
    #[must_use]
    pub fn at_most(self, rows: usize) -> Self {
        Self { limit: self.limit.min(rows), ..self }
    }

    /// The cursor of the page that begins after `place`.
    pub fn cursor(&self, place: &impl Display) -> String {
        format!("{place}-{:04x}", self.mark)
    }
}

impl<P: FromStr + Display> Page<P> {
    /// The page that the arguments `limit` and `cursor` ask for. `question` is every other argument that decides which rows the list has
    /// and in which order: the cursor of another question's list is refused, as it would silently leave out rows of this one.
    pub fn of(tool: &str, question: impl Hash, limit: usize, cursor: Option<&str>) -> Result<Self, Failure> {
        let mut hasher = DefaultHasher::new();
        (tool, question).hash(&mut hasher);
        // enough to find mistakes by; a caller who makes up cursors gets other rows of what it may read anyway
        let mut page = Self { limit, told: None, mark: hasher.finish() as u16 };
        if let Some(cursor) = cursor {
            let place = cursor.rsplit_once('-').and_then(|(place, _)| place.parse().ok());
            page.told = place.filter(|place| page.cursor(place) == cursor);
            if page.told.is_none() {
                return Err(Failure::Invalid(format!("{tool}: this cursor is not of this list: ask again without it")));
            }
        }
        Ok(page)
    }
}

impl<K: Ord + Display> Page<K> {
    /// Its rows, of all in the order of their keys, and the cursor of the next page if there is one. No row is told twice or left out
    /// because others have come or gone.
    pub fn by_key<T>(&self, rows: impl IntoIterator<Item = (K, T)>) -> (Vec<T>, Option<String>) {
        let left = |(key, _): &(K, T)| self.told.as_ref().is_none_or(|told| key > told);
        let mut rest = rows.into_iter().filter(left).peekable();
        let (keys, page): (Vec<K>, Vec<T>) = rest.by_ref().take(self.limit).unzip();
        let next = rest.peek().and(keys.last()).map(|last| self.cursor(last));
        (page, next)
    }
}

impl Page<usize> {
    /// Its rows, of all of them, and the cursor of the next page if there is one. For lists that are sorted by what changes all the time: a
    /// row that has moved over the end of a page meanwhile is told twice, or not at all.
    pub fn by_count<T>(&self, rows: Vec<T>) -> (Vec<T>, Option<String>) {
        let begin = self.told.unwrap_or(0);
        let end = begin.saturating_add(self.limit);
        let next = (end < rows.len()).then(|| self.cursor(&end));
        (rows.into_iter().skip(begin).take(self.limit).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A request with a list.
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Request {
        /// Most rows.
        #[serde(default)]
        limit: Limit<20, 200>,
    }

    fn limit(request: serde_json::Value) -> Result<usize, String> {
        serde_json::from_value::<Request>(request)
            .map(|request| request.limit.rows())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_limit_left_out_or_null_is_the_default() {
        assert_eq!(limit(json!({})), Ok(20));
        assert_eq!(limit(json!({ "limit": null })), Ok(20));
        assert_eq!(limit(json!({ "limit": 1 })), Ok(1));
        assert_eq!(limit(json!({ "limit": 200 })), Ok(200));
    }

    #[test]
    fn a_wrong_limit_is_told_what_would_be_right() {
        for wrong in [json!(0), json!(201), json!(-1), json!(1.5), json!("20"), json!([]), json!(u64::MAX), json!(true)]
        {
            let said = limit(json!({ "limit": wrong })).unwrap_err();
            assert!(said.ends_with("expected a limit from 1 to 200"), "{said}");
        }
    }

    #[test]
    fn the_schema_has_the_same_bounds_and_the_limit_is_not_required() {
        let schema = schemars::schema_for!(Request);
        let limit = json!({
            "description": "Most rows.", "type": ["integer", "null"], "minimum": 1, "maximum": 200, "default": 20,
        });
        assert_eq!(schema.as_value()["properties"]["limit"], limit);
        assert!(schema.get("required").is_none());
    }

    fn page<P: FromStr + Display>(question: &str, cursor: Option<&str>) -> Result<Page<P>, Failure> {
        Page::of("tool", question, 2, cursor)
    }

    /// All pages, each by the cursor of the one before.
    fn pages<P: FromStr + Display>(take: impl Fn(Page<P>) -> (Vec<u32>, Option<String>)) -> Vec<Vec<u32>> {
        let (mut pages, mut cursor) = (vec![], None);
        loop {
            let (rows, next) = take(page("", cursor.as_deref()).unwrap());
            pages.push(rows);
            cursor = next;
            if cursor.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_have_every_row_once() {
        let counted = |rows: u32| pages::<usize>(|page| page.by_count((0..rows).collect()));
        let keyed = |rows: u32| pages::<u32>(|page| page.by_key((0..rows).map(|row| (row * 10, row))));
        for (rows, expected) in [
            (0, vec![vec![]]),
            (2, vec![vec![0, 1]]),
            (3, vec![vec![0, 1], vec![2]]),
            (4, vec![vec![0, 1], vec![2, 3]]),
        ] {
            assert_eq!((counted(rows), keyed(rows)), (expected.clone(), expected));
        }
    }

    #[test]
    fn by_key_nothing_is_told_twice_when_the_last_row_is_gone() {
        let (_, next) = page::<String>("", None).unwrap().by_key(["a", "b-1", "c"].map(|name| (name.to_owned(), name)));
        let page = page::<String>("", next.as_deref()).unwrap();
        assert_eq!(page.by_key(["a", "c", "d"].map(|name| (name.to_owned(), name))), (vec!["c", "d"], None));
    }

    #[test]
    fn a_list_that_has_become_shorter_has_come_to_its_end() {
        let (_, next) = page("", None).unwrap().by_count(vec![1, 2, 3]);
        assert_eq!(page("", next.as_deref()).unwrap().by_count(vec![1]), (vec![], None));
    }

    #[test]
    fn only_a_cursor_of_the_same_list_is_taken() {
        let (_, next) = page::<usize>("by size", None).unwrap().by_count(vec![1, 2, 3]);
        let good = next.unwrap();
        assert!(page::<usize>("by size", Some(&good)).is_ok());
        assert!(page::<usize>("by age", Some(&good)).is_err());
        assert!(Page::<usize>::of("other", "by size", 2, Some(&good)).is_err());
        for wrong in
            ["", "2", "-", "x", &format!("+{good}"), &format!("0{good}"), &good.to_uppercase().replace('2', "é")]
        {
            let failure = page::<usize>("by size", Some(wrong)).unwrap_err();
            assert_eq!(failure.kind(), "invalid", "{wrong}");
        }
        // other rows are the same list
        assert!(Page::<usize>::of("tool", "by size", 50, Some(&good)).is_ok());
    }
}

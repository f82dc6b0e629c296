//! A long list, told once per column instead of once per row.

use std::{
    any::TypeId,
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::{
    Serialize, Serializer,
    ser::{Error, SerializeSeq, SerializeStruct},
};
use serde_json::{Map, Value};

/// Rows that are written as `{"columns":["pid","name"],"rows":[[1,"init"]]}`: the columns are the fields of `R` in their
/// order, and are there even when no row is. An `Option` that is `None` is null.
///
/// `R` is a plain struct: no `skip_serializing_if` (a row would lose its place, which is an error here), no type that
/// contains itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<R>(pub Vec<R>);

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R> FromIterator<R> for Table<R> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

impl<R: Serialize + JsonSchema + 'static> Serialize for Table<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = columns::<R>();
        let mut table = serializer.serialize_struct("Table", 2)?;
        table.serialize_field("columns", &*columns)?;
        table.serialize_field("rows", &Rows { rows: &self.0, columns: &columns })?;
        table.end()
    }
}

struct Rows<'a, R> {
    rows: &'a [R],
    columns: &'a [String],
}

impl<R: Serialize> Serialize for Rows<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in self.rows {
            let Value::Object(fields) = serde_json::to_value(row).map_err(S::Error::custom)? else {
                return Err(S::Error::custom("a table's row is a struct with named fields"));
            };
            if !fields.keys().eq(self.columns) {
                return Err(S::Error::custom("a table's row has exactly the fields of its schema, in their order"));
            }
            rows.serialize_element(&fields.values().collect::<Vec<_>>())?;
        }
        rows.end()
    }
}

/// The names of `R`'s fields. Remembered, because a schema is slow to make.
fn columns<R: JsonSchema + 'static>() -> Arc<[String]> {
    static KNOWN: LazyLock<RwLock<HashMap<TypeId, Arc<[String]>>>> = LazyLock::new(RwLock::default);
    let id = TypeId::of::<R>();
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return known.clone();
    }
    let columns: Arc<[String]> =
        properties::<R>(&SchemaSettings::draft2020_12().for_serialize()).keys().cloned().collect();
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(id, columns.clone());
    columns
}

/// `R`'s fields and what each is, with nothing left to look up elsewhere.
fn properties<R: JsonSchema>(settings: &SchemaSettings) -> Map<String, Value> {
    let mut settings = settings.clone();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<R>();
    match schema.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    }
}

/// `items: false` is left out on purpose: `maxItems` already says it, and validators of the older drafts (the official
/// TypeScript SDK's is one) know no `prefixItems` and would then refuse every row.
impl<R: JsonSchema> JsonSchema for Table<R> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Table_of_{}", R::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("{}::Table<{}>", module_path!(), R::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (names, types): (Vec<_>, Vec<_>) = properties::<R>(generator.settings()).into_iter().unzip();
        let width = names.len();
        json_schema!({
            "type": "object",
            "properties": {
                "columns": { "type": "array", "const": names },
                "rows": {
                    "type": "array",
                    "items": { "type": "array", "prefixItems": types, "minItems": width, "maxItems": width },
                },
            },
            "required": ["columns", "rows"],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One row.
    #[derive(Serialize, JsonSchema)]
    struct Row {
        /// The process.
        pid: u32,
        /// Its name.
        name: String,
        /// What it holds in memory.
        resident_bytes: Option<u64>,
        state: State,
    }

    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum State {
        /// Waits.
        Sleeping,
    }

    #[derive(Serialize, JsonSchema)]
    struct Report {
        processes: Table<Row>,
        more: Table<Row>,
    }

    #[derive(Serialize, JsonSchema)]
    struct Skipping {
        #[serde(skip_serializing_if = "Option::is_none")]
        first: Option<u8>,
        second: u8,
    }

    fn row(resident_bytes: Option<u64>) -> Row {
        Row { pid: 1, name: "init".into(), resident_bytes, state: State::Sleeping }
    }

    #[test]
    fn a_row_is_a_list_in_the_order_of_the_fields() {
        assert_eq!(
            serde_json::to_string(&Table(vec![row(None), row(Some(7))])).unwrap(),
            r#"{"columns":["pid","name","resident_bytes","state"],"rows":[[1,"init",null,"sleeping"],[1,"init",7,"sleeping"]]}"#
        );
    }

    #[test]
    fn no_rows_still_have_columns() {
        assert_eq!(
            serde_json::to_value(Table::<Row>::default()).unwrap(),
            json!({"columns": ["pid", "name", "resident_bytes", "state"], "rows": []})
        );
    }

    #[test]
    fn a_row_that_lost_a_field_is_refused() {
        assert!(serde_json::to_value(Table(vec![Skipping { first: None, second: 2 }])).is_err());
        assert!(serde_json::to_value(Table(vec![Skipping { first: Some(1), second: 2 }])).is_ok());
        assert!(serde_json::to_value(Table(vec![5])).is_err());
    }

    #[test]
    fn the_schema_types_each_place_of_a_row_and_refers_to_nothing() {
        let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report>();
        let schema = schema.as_value();
        assert!(!schema.to_string().contains("$ref"), "{schema}");
        assert!(schema.get("$defs").is_none(), "{schema}");
        let table = &schema["properties"]["processes"];
        assert_eq!(table["type"], "object");
        assert_eq!(table["properties"]["columns"]["const"], json!(["pid", "name", "resident_bytes", "state"]));
        let rows = &table["properties"]["rows"]["items"];
        assert_eq!((&rows["minItems"], &rows["maxItems"]), (&json!(4), &json!(4)));
        assert_eq!(rows["prefixItems"][1], json!({"type": "string", "description": "Its name."}));
        assert_eq!(rows["prefixItems"][2]["type"], json!(["integer", "null"]));
        assert_eq!(rows["prefixItems"][2]["description"], "What it holds in memory.");
        assert!(rows["prefixItems"][3].to_string().contains("sleeping"));
    }
}

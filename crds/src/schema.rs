//! Parts of schemas that several resources share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

/// Most bytes of a free JSON object, written as JSON. It is held in memory by every watcher; the API server itself
/// would admit about 1.5 MB.
const FREE_OBJECT_MAX: usize = 64 * 1024;

/// What quantities are that are given by the name of a resource: 500m, 10Gi.
pub(crate) const QUANTITY_PATTERN: &str = "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$";

/// What is wrong with the size of a free JSON object; `None` if it is not too large.
pub(crate) fn too_large(object: &Map<String, Value>) -> Option<String> {
    let size = serde_json::to_vec(object).map_or(usize::MAX, |json| json.len());
    (size > FREE_OBJECT_MAX).then(|| format!("holds {size} bytes of JSON; at most {FREE_OBJECT_MAX} are kept"))
}

/// A free JSON object. The API server can bound neither its size nor its depth: a check of the operator does.
pub(crate) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A quantity that is always text: `10Gi`, not 10. Numbers would change their form on the way.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 32 })
}

/// Quantities by the name of a resource.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 32, "pattern": QUANTITY_PATTERN }
    })
}

/// Quantities from constants.
pub(crate) fn quantities_of<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, Quantity> {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Quantity(value.to_owned())))
        .collect()
}

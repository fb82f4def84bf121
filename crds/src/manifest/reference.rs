//! A page with every field of a resource, read from its CRD: what `kubectl explain --recursive` says, to be read and
//! linked.

use std::{collections::HashMap, fmt::Write as _};

use serde_json::Value;

use super::words;
use crate::{period, schema, version_range};

/// Patterns that have a name, by which people know them better.
const NAMED_PATTERNS: [(&str, &str); 3] = [
    (period::PATTERN, "duration"),
    (version_range::PATTERN, "version range"),
    (schema::QUANTITY_PATTERN, "quantity"),
];

/// The page of one resource. `guide` is a sentence that leads to the page that tells how it is used.
pub fn page(crd: &Value, guide: &str) -> String {
    let (spec, version) = (&crd["spec"], &crd["spec"]["versions"][0]);
    let (names, whole) = (&spec["names"], &version["schema"]["openAPIV3Schema"]);
    let kind = text(names, "kind");
    let place = match text(spec, "scope") {
        "Namespaced" => "in a tenant's namespace",
        _ => "cluster-scoped",
    };
    let mut page = format!(
        "<!-- Generated from crds/src by `cargo dev generate`: do not edit. -->\n# {kind}: every field\n\n{}\n\n\
         `apiVersion: {}/{}`, `kind: {kind}`, {place}; short name `{}`. {guide}\n\
         What its conditions and reasons mean: [conditions.md](conditions.md).\n",
        prose(text(whole, "description")),
        text(spec, "group"),
        text(version, "name"),
        text(&names["shortNames"], "0"),
    );
    columns(version, &mut page);
    let rules = messages(whole);
    if !rules.is_empty() {
        page += "\nRules of the whole object:\n\n";
        for rule in &rules {
            let _ = writeln!(page, "- {}", prose(rule));
        }
    }
    let mut fields = Fields {
        page,
        told: rules.into_iter().map(str::to_owned).collect(),
        lists: HashMap::new(),
        sections: HashMap::new(),
    };
    for part in ["spec", "status"] {
        fields.section(part, &whole["properties"][part]);
    }
    fields.page
}

/// What `kubectl get` shows.
fn columns(version: &Value, page: &mut String) {
    *page += "\n| column of `kubectl get` | |\n|---|---|\n";
    for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let wide = if column["priority"] == 1 { " (`-o wide`)" } else { "" };
        if let Some(description) = column["description"].as_str() {
            let _ = writeln!(page, "| {}{wide} | {} |", text(column, "name"), prose(description));
        }
    }
}

/// Sections of fields as they are written.
struct Fields {
    page: String,
    /// Rules of the whole object, which its fields repeat.
    told: Vec<String>,
    /// Field that has rules like these, by the rules.
    lists: HashMap<Vec<String>, String>,
    /// Heading of the section that tells of fields like these, by the fields.
    sections: HashMap<String, String>,
}

/// A field that has fields of its own.
struct Nested<'a> {
    path: String,
    schema: &'a Value,
}

impl Fields {
    /// The section of an object, and those of the objects in it.
    fn section(&mut self, path: &str, schema: &Value) {
        let level = path.split('.').count() + 1;
        let _ = write!(self.page, "\n{} {path}\n", "#".repeat(level.min(4)));
        if level == 2 {
            let _ = write!(self.page, "\n{}\n", prose(text(schema, "description")));
        }
        self.page += "\n| field | type | default | |\n|---|---|---|---|\n";
        let (mut nested, mut rules) = (vec![], vec![]);
        for rule in self.untold(schema) {
            rules.push(format!("- {}", prose(&rule)));
        }
        for (name, field) in in_order(schema) {
            let below = fields_of(&format!("{path}.{name}"), field);
            let like = below.as_ref().and_then(|below| {
                let like = self.sections.get(&below.schema["properties"].to_string());
                like.cloned()
            });
            let link = match (&below, &like) {
                (Some(_), Some(path)) => format!("[`{name}`](#{})", anchor(path)),
                (Some(below), None) => format!("[`{name}`](#{})", anchor(&below.path)),
                (None, _) => format!("`{name}`"),
            };
            let _ = writeln!(
                self.page,
                "| {link} | {} | {} | {} |",
                type_of(name, field),
                default_of(schema, name, field),
                prose(text(field, "description")),
            );
            rules.extend(self.rules_of(path, name, field));
            if let (Some(below), None) = (below, like) {
                self.sections
                    .insert(below.schema["properties"].to_string(), below.path.clone());
                nested.push(below);
            }
        }
        if !rules.is_empty() {
            let _ = write!(self.page, "\n{}\n", rules.join("\n"));
        }
        for Nested { path, schema } in nested {
            self.section(&path, schema);
        }
    }

    /// The rules of a field; a list of rules that several fields have is told once.
    fn rules_of(&mut self, path: &str, name: &str, field: &Value) -> Vec<String> {
        // Those of an object, or of the objects in a list, stand in its own section.
        let own = |schema: &&Value| schema.get("properties").is_none();
        let parts = [field, &field["items"]].into_iter().filter(own);
        let rules: Vec<_> = parts.flat_map(|part| self.untold(part)).collect();
        if let [_, _, ..] = rules.as_slice() {
            if let Some(like) = self.lists.get(&rules) {
                return vec![format!("- `{name}`: the rules of `{like}`")];
            }
            self.lists.insert(rules.clone(), format!("{path}.{name}"));
        }
        rules
            .iter()
            .map(|rule| format!("- `{name}`: {}", prose(rule)))
            .collect()
    }

    fn untold(&self, schema: &Value) -> Vec<String> {
        let rules = messages(schema).into_iter().map(str::to_owned);
        rules.filter(|rule| !self.told.contains(rule)).collect()
    }
}

/// Required fields first, then by name.
fn in_order(schema: &Value) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| (!is_required(schema, name), (*name).clone()));
    fields
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema["required"].as_array();
    required.is_some_and(|required| required.iter().any(|field| field == name))
}

/// The fields of a field, or of its elements. Those of conditions are known.
fn fields_of<'a>(path: &str, field: &'a Value) -> Option<Nested<'a>> {
    let items = field.get("items").unwrap_or(field);
    if items.get("properties").is_none() || items["properties"].get("lastTransitionTime").is_some() {
        return None;
    }
    let list = if field.get("items").is_some() { "[]" } else { "" };
    Some(Nested {
        path: format!("{path}{list}"),
        schema: items,
    })
}

fn type_of(name: &str, schema: &Value) -> String {
    let limits = limits(schema);
    let limited = |name: &str| match limits.as_str() {
        "" => name.to_owned(),
        limits => format!("{name}, {limits}"),
    };
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).map(code).collect();
        return values.join(" or ");
    }
    match text(schema, "type") {
        "array" if name == "conditions" => "list of [conditions](conditions.md)".to_owned(),
        "array" => {
            let list = if limits.is_empty() {
                "list".to_owned()
            } else {
                format!("list ({limits})")
            };
            match schema["items"].get("properties") {
                Some(_) => format!("{list} of objects"),
                None => format!("{list} of {}", type_of(name, &schema["items"])),
            }
        }
        "object" if schema.get("additionalProperties").is_some() => {
            format!("by name: {}", type_of(name, &schema["additionalProperties"]))
        }
        "object" if schema["x-kubernetes-preserve-unknown-fields"] == true => "JSON object".to_owned(),
        "string" if text(schema, "format") == "date-time" => "time".to_owned(),
        "string" => named(schema).map_or_else(|| limited("string"), str::to_owned),
        other => limited(other),
    }
}

/// The name of a text's form, if it has one.
fn named(schema: &Value) -> Option<&'static str> {
    let pattern = text(schema, "pattern");
    NAMED_PATTERNS
        .into_iter()
        .find_map(|(known, name)| (known == pattern).then_some(name))
}

/// What the schema says of size and form, as far as no rule says it better.
fn limits(schema: &Value) -> String {
    let between = |least: &str, most: &str, unit: &str| match (schema[least].as_f64(), schema[most].as_f64()) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (None, None) => None,
    };
    let mut rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let length = if rules.any(|rule| text(rule, "rule").contains("size(self)")) {
        None
    } else {
        between("minLength", "maxLength", " characters")
    };
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let key = keys.and_then(|keys| keys.first()).and_then(Value::as_str);
    let form = Some(text(schema, "pattern")).filter(|pattern| !pattern.is_empty());
    let all = [
        length,
        between("minItems", "maxItems", ""),
        between("minimum", "maximum", ""),
        key.map(|key| format!("each {} once", code(key))),
        form.map(|pattern| format!("form {}", code(pattern))),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn default_of(schema: &Value, name: &str, field: &Value) -> String {
    match field.get("default") {
        _ if is_required(schema, name) => "**required**".to_owned(),
        // Its fields have their own.
        Some(_) if field.get("properties").is_some() => String::new(),
        Some(Value::String(default)) if !default.is_empty() => code(default),
        Some(default) => code(&default.to_string()),
        None => String::new(),
    }
}

/// What the rules of a schema say to who breaks them.
fn messages(schema: &Value) -> Vec<&str> {
    let rules = schema["x-kubernetes-validations"].as_array();
    rules.into_iter().flatten().map(|rule| text(rule, "message")).collect()
}

/// A field of a value as text; empty if there is none. A number names an element.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    let field = match name.parse::<usize>() {
        Ok(index) => value.get(index),
        Err(_) => value.get(name),
    };
    field.and_then(Value::as_str).unwrap_or_default()
}

/// The id that Markdown gives to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-');
    kept.collect::<String>().to_ascii_lowercase()
}

/// Text as code in a table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Prose for a table: on one line, and with nothing that Markdown would take for its own.
fn prose(text: &str) -> String {
    let line = words(text);
    let parts = line.split('`').enumerate().map(|(at, part)| {
        if at % 2 == 1 {
            return code(part);
        }
        let mut escaped = String::with_capacity(part.len());
        for c in part.chars() {
            if "<*~|".contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;
    use serde_json::json;

    use super::*;
    use crate::{Plugin, PluginInstallation, Tenant};

    fn crds() -> [Value; 3] {
        [Tenant::crd(), Plugin::crd(), PluginInstallation::crd()].map(|crd| serde_json::to_value(crd).unwrap())
    }

    /// All fields below a schema that have no text.
    fn undocumented(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if text(field, "description").is_empty() {
                found.push(path.clone());
            }
            if let Some(below) = fields_of(&path, field) {
                undocumented(&below.path, below.schema, found);
            }
        }
    }

    #[test]
    fn every_field_has_a_text_for_people() {
        for crd in crds() {
            let whole = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
            let mut found = vec![];
            for part in ["spec", "status"] {
                undocumented(part, &whole[part], &mut found);
            }
            assert_eq!(found, Vec::<String>::new());
        }
    }

    #[test]
    fn every_link_in_a_page_leads_to_a_heading_of_it() {
        for crd in crds() {
            let page = page(&crd, "");
            let headings: Vec<_> = page.lines().filter(|line| line.starts_with("##")).map(anchor).collect();
            let links: Vec<_> = page
                .split("](#")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
                .collect();
            assert!(!links.is_empty());
            for link in links {
                assert!(headings.iter().any(|heading| heading == link), "{link}");
            }
        }
    }

    #[test]
    fn a_row_tells_type_limits_default_and_rules() {
        let [_, plugin, _] = crds();
        let page = page(&plugin, "");
        for line in [
            "| `version` | string, 5 to 40 characters | **required** | ",
            "| `port` | integer, 1024 to 65535 | `3000` | ",
            "| `args` | list (at most 64) of string, at most 1024 characters | `[]` | ",
            "| `phase` | `Expand` or `Contract` | `Expand` | ",
            "| [`env`](#specruntimeenv) | list (at most 64, each `name` once) of objects | `[]` | ",
            "| `interval` | duration | `5s` | ",
            "- `id`: a plugin's id has 2 to 22 characters\n",
            "- `replacement`: the rules of `spec.id`\n",
            "| `limits` | by name: quantity | `{\"cpu\":\"500m\",\"memory\":\"256Mi\"}` | ",
            "- a migration has either sql or configMapRef\n",
        ] {
            assert!(page.contains(line), "{line}");
        }
    }

    #[test]
    fn prose_holds_nothing_that_markdown_takes_for_its_own() {
        assert_eq!(
            prose("PLEXICA_*, `a|b*` or\n  <id> ~1"),
            "PLEXICA_\\*, `a\\|b*` or \\<id> \\~1"
        );
        assert_eq!(default_of(&json!({}), "a", &json!({ "default": "" })), "`\"\"`");
    }
}

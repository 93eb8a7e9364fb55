//! The JSON Schema of the job file, for editors: the known keys, written another way.

use serde_json::{Map as Object, Value, json};

use crate::keys::{FILE, Shape, Table};

/// The JSON Schema of job files, and of files that they include. What it allows may still have faults, of which it
/// knows less than [`crate::load`].
pub fn schema() -> Value {
    let mut definitions = Object::new();
    let mut file = object(&FILE, &mut definitions);
    if let Some(file) = file.as_object_mut() {
        file.insert("required".to_owned(), json!(["version"]));
    }
    let mut schema = json!({
        // Editors know this version best.
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Image Factory job file",
    });
    if let (Some(schema), Value::Object(file)) = (schema.as_object_mut(), file) {
        schema.extend(file);
        schema.insert("definitions".to_owned(), Value::Object(definitions));
    }
    schema
}

fn object(table: &Table, definitions: &mut Object<String, Value>) -> Value {
    let mut properties = Object::new();
    for key in table.keys() {
        let mut property = json!({ "description": key.doc });
        if let (Some(property), Value::Object(shape)) = (property.as_object_mut(), value(&key.shape, definitions)) {
            property.extend(shape);
        }
        properties.insert(key.name.to_owned(), property);
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn value(shape: &Shape, definitions: &mut Object<String, Value>) -> Value {
    match shape {
        Shape::Version => json!({ "const": 1 }),
        Shape::Nothing => json!({ "type": "null" }),
        Shape::Text => json!({ "type": "string", "minLength": 1 }),
        Shape::Matching(regex) => json!({ "type": "string", "pattern": regex }),
        Shape::Words(words) => json!({ "enum": words }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::List(item) => json!({ "type": "array", "items": value(item, definitions) }),
        Shape::OneOrMore(item) => {
            let item = value(item, definitions);
            json!({ "anyOf": [item, { "type": "array", "items": item, "minItems": 1 }] })
        }
        Shape::Map(table) => reference(table, definitions),
        Shape::MapOf(regex, item) => {
            let item = value(item, definitions);
            json!({ "type": "object", "propertyNames": { "pattern": regex }, "additionalProperties": item })
        }
        Shape::AnyOf(shapes) => {
            let shapes: Vec<Value> = shapes.iter().map(|shape| value(shape, definitions)).collect();
            json!({ "anyOf": shapes })
        }
    }
}

/// Maps are written once, by what they are.
fn reference(table: &Table, definitions: &mut Object<String, Value>) -> Value {
    let name = table.what.trim_start_matches("a ").trim_start_matches("an ").replace('`', "").replace(' ', "-");
    if !definitions.contains_key(&name) {
        // Its place comes before those that it refers to.
        definitions.insert(name.clone(), Value::Null);
        let object = object(table, definitions);
        definitions.insert(name.clone(), object);
    }
    json!({ "$ref": format!("#/definitions/{name}") })
}

#[cfg(test)]
mod tests;

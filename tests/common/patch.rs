//! How the API server merges a patch into an object. Pure.

use serde_json::{Map, Value};

/// RFC 7386.
pub fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(into) = into else { return };
    for (key, value) in patch {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Strategic merge, as far as lists with a merge key go that this project patches: owners.
pub fn strategic(into: &mut Value, patch: &Value) {
    let mut rest = patch.clone();
    if let Some(owners) = rest.pointer_mut("/metadata/ownerReferences").map(Value::take) {
        merge_list(&mut into["metadata"]["ownerReferences"], &owners, "uid");
        if let Some(metadata) = rest["metadata"].as_object_mut() {
            metadata.remove("ownerReferences");
        }
    }
    merge(into, &rest);
}

fn merge_list(into: &mut Value, patch: &Value, key: &str) {
    let list = match into.take() {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    let mut list = list;
    for item in patch.as_array().into_iter().flatten() {
        match list.iter_mut().find(|there| there[key] == item[key]) {
            Some(there) => merge(there, item),
            None => list.push(item.clone()),
        }
    }
    *into = Value::Array(list);
}

/// What is merged item by item in server-side apply, and by which key; every other list is replaced as a whole
/// (the CRD's x-kubernetes-list-type, the OpenAPI schema of ObjectMeta).
fn list_key(path: &str) -> Option<Key> {
    match path {
        "/metadata/finalizers" => Some(Key::Itself),
        "/metadata/ownerReferences" => Some(Key::Field("uid")),
        "/status/conditions" => Some(Key::Field("type")),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Key {
    Itself,
    Field(&'static str),
}

impl Key {
    fn of(self, item: &Value) -> &Value {
        match self {
            Self::Itself => item,
            Self::Field(name) => &item[name],
        }
    }
}

/// Server-side apply with force: `before` is what this manager applied last, `others` what other managers own.
pub fn apply(into: &mut Value, before: &Value, config: &Value, others: &[Value]) {
    apply_at("", into, before, config, others);
}

fn apply_at(path: &str, into: &mut Value, before: &Value, config: &Value, others: &[Value]) {
    match (config, list_key(path)) {
        (Value::Object(config), _) => {
            if !into.is_object() {
                *into = Value::Object(Map::new());
            }
            let Value::Object(there) = into else { return };
            let empty = Map::new();
            for (key, value) in before.as_object().unwrap_or(&empty) {
                if !config.contains_key(key) {
                    give_up(&format!("{path}/{key}"), there, key, value, others);
                }
            }
            for (key, value) in config {
                let others: Vec<Value> = others.iter().map(|other| other[key].clone()).collect();
                apply_at(
                    &format!("{path}/{key}"),
                    there.entry(key.clone()).or_insert(Value::Null),
                    &before[key],
                    value,
                    &others,
                );
            }
        }
        (Value::Array(config), Some(key)) => {
            let mut list = match into.take() {
                Value::Array(list) => list,
                _ => Vec::new(),
            };
            let held = |item: &Value| owned_by(others, key, item);
            for item in before.as_array().into_iter().flatten() {
                if !config.iter().any(|wanted| key.of(wanted) == key.of(item)) && !held(item) {
                    list.retain(|there| key.of(there) != key.of(item));
                }
            }
            for item in config {
                match list.iter_mut().find(|there| key.of(there) == key.of(item)) {
                    Some(there) => *there = item.clone(),
                    None => list.push(item.clone()),
                }
            }
            *into = Value::Array(list);
        }
        _ => *into = config.clone(),
    }
}

fn owned_by(others: &[Value], key: Key, item: &Value) -> bool {
    others.iter().flat_map(|other| other.as_array().into_iter().flatten()).any(|other| key.of(other) == key.of(item))
}

/// Takes away what a manager no longer applies, unless somebody else owns it.
fn give_up(path: &str, from: &mut Map<String, Value>, key: &str, value: &Value, others: &[Value]) {
    let others: Vec<Value> = others.iter().map(|other| other[key].clone()).collect();
    match (value, list_key(path)) {
        (Value::Object(_), _) => {
            if let Some(there) = from.get_mut(key) {
                apply_at(path, there, value, &Value::Object(Map::new()), &others);
                if there.as_object().is_some_and(Map::is_empty) {
                    from.remove(key);
                }
            }
        }
        (Value::Array(_), Some(_)) => {
            if let Some(there) = from.get_mut(key) {
                apply_at(path, there, value, &Value::Array(Vec::new()), &others);
                if there.as_array().is_some_and(Vec::is_empty) {
                    from.remove(key);
                }
            }
        }
        _ if others.iter().all(Value::is_null) => {
            from.remove(key);
        }
        _ => {}
    }
}

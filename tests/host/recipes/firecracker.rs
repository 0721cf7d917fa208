//! Firecracker's configuration against its schema, which is `firecracker.json`.

use serde_json::Value;

/// Asserts that a configuration has the fields of the schema, with their types, and all that are required.
pub fn check(configuration: &Value) {
    let schema: Value = serde_json::from_str(include_str!("firecracker.json")).unwrap();
    object(&schema, "VmConfig", configuration);
}

fn object(schema: &Value, name: &str, value: &Value) {
    let fields = schema[name].as_object().unwrap_or_else(|| panic!("the schema has no {name}"));
    let given = value.as_object().unwrap_or_else(|| panic!("{name} is not an object: {value}"));
    for (field, value) in given {
        let kind = fields.get(field).unwrap_or_else(|| panic!("{name} has no field {field}"));
        typed(schema, kind.as_str().unwrap().trim_end_matches('!'), value);
    }
    for (field, kind) in fields {
        assert!(!kind.as_str().unwrap().ends_with('!') || given.contains_key(field), "{name} needs the field {field}");
    }
}

fn typed(schema: &Value, kind: &str, value: &Value) {
    let fits = match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        kind => match kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
            Some(kind) => return value.as_array().expect("a list").iter().for_each(|value| typed(schema, kind, value)),
            None => return object(schema, kind, value),
        },
    };
    assert!(fits, "{value} is not of the type {kind}");
}

#[test]
#[should_panic(expected = "VmConfig has no field boot_source")]
fn a_misspelt_field_is_found() {
    check(&serde_json::json!({ "boot_source": {} }));
}

#[test]
#[should_panic(expected = "MachineConfiguration needs the field vcpu_count")]
fn a_field_that_is_missing_is_found() {
    check(&serde_json::json!({ "machine-config": { "mem_size_mib": 512 } }));
}

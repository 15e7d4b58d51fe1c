//! Real output held against docs/schema.

use serde_json::Value;

use crate::support::tracing::Run;

const SCHEMA: &str = include_str!("../../../docs/schema/record.schema.json");
/// Problems told at most: a wrong field is wrong in every line.
const MOST: usize = 10;

/// What in the run's lines does not fit the schema.
pub fn misfits(run: &Run) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("the schema is a schema");
    let misfit = |text: &String| {
        let line: Value = serde_json::from_str(text).ok()?;
        let error = validator.iter_errors(&line).next()?;
        Some(format!("{}: {error}: {text}", error.instance_path))
    };
    run.lines.iter().filter_map(|output| misfit(&output.text)).take(MOST).collect()
}

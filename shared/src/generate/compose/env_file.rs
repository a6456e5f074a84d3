//! A container's environment as a file that Compose reads.
//!
//! Invariant: whatever the value, Compose gives the container the same bytes. Absent: names and values.

use std::collections::BTreeMap;

use super::ComposeError;
use crate::domain::EnvName;

/// The text of an environment file from which Compose reads each value byte for byte.
///
/// Inside double quotes Compose knows octal escapes, `\n`, `\r` and `$$`. A backslash and a quote are written in octal:
/// its search for the closing quote takes any quote behind a backslash for an escaped one.
pub fn env_file_text(variables: &BTreeMap<EnvName, String>) -> Result<String, ComposeError> {
    let mut text = String::new();
    for (name, value) in variables {
        if value.contains('\0') {
            return Err(ComposeError::Nul(name.clone()));
        }
        text.push_str(name.as_str());
        text.push_str("=\"");
        value.chars().for_each(|c| match c {
            '\\' => text.push_str("\\0134"),
            '"' => text.push_str("\\0042"),
            '$' => text.push_str("$$"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            other => text.push(other),
        });
        text.push_str("\"\n");
    }
    Ok(text)
}

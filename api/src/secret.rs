//! Secrets in requests.
//!
//! Invariants: a secret is read and never shown, neither in an answer nor in the words of a refusal. Absent: what a secret
//! has to look like for whoever it is meant for.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::problem::Problem;

/// Part of what lets us in somewhere: visible ASCII characters.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

const MAX: usize = 512;

impl Secret {
    /// The secret, when it has the length and only letters, digits and `more`; `what` it is stands in the refusal.
    pub fn made_of(
        self,
        what: &str,
        length: std::ops::RangeInclusive<usize>,
        more: &str,
    ) -> Result<SecretString, Problem> {
        let text = self.0.expose_secret();
        match length.contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c)) {
            true => Ok(self.0),
            false => {
                let (least, most) = (length.start(), length.end());
                let and = if more.is_empty() { String::new() } else { format!(" and `{more}`") };
                let detail = format!("{what} has {least} to {most} characters: letters, digits{and}.");
                Err(Problem::invalid("invalid_body", detail))
            }
        }
    }
}

impl Type for Secret {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_password".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let schema = MetaSchema::new_with_format("string", "password");
        MetaSchemaRef::Inline(Box::new(MetaSchema { write_only: true, max_length: Some(MAX), ..schema }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for Secret {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            Some(Value::String(text)) if text.len() <= MAX && text.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Self(text.into()))
            }
            _ => Err(ParseError::custom("a secret is a text of visible ASCII characters, at most 512")),
        }
    }
}

impl ToJSON for Secret {
    fn to_json(&self) -> Option<Value> {
        None
    }
}

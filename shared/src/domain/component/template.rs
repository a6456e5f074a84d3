//! Values that name other components: `postgres://…` of a database whose password nobody knows yet.
//!
//! Invariant: every text is a template, and one without `${component.` is itself, byte for byte. `$${component.` stands
//! for a literal `${component.`. Absent: what a reference stands for; that is known when a release is deployed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{ComponentKind, ComponentName};
use crate::domain::Malformed;

const OPEN: &str = "${component.";
const WRONG: Malformed = Malformed {
    what: "value",
    grammar: "a text without NUL in which each ${component.NAME.FIELD} names a component and one of the fields url, \
              host, port, user, password, database ($${component. stands for the text itself)",
};

/// What can be known of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceField {
    Url,
    Host,
    Port,
    User,
    Password,
    Database,
}

impl ReferenceField {
    pub const ALL: &'static [Self] = &[Self::Url, Self::Host, Self::Port, Self::User, Self::Password, Self::Database];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Host => "host",
            Self::Port => "port",
            Self::User => "user",
            Self::Password => "password",
            Self::Database => "database",
        }
    }

    /// Whether a component of the kind has it; a `web` or `worker` component only when it has a port.
    pub fn is_of(self, kind: ComponentKind) -> bool {
        match kind {
            ComponentKind::Postgres | ComponentKind::Mysql => true,
            ComponentKind::Redis => !matches!(self, Self::User | Self::Database),
            ComponentKind::Web | ComponentKind::Worker => matches!(self, Self::Url | Self::Host | Self::Port),
            ComponentKind::Cron | ComponentKind::Release => false,
        }
    }
}

/// One `${component.NAME.FIELD}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub component: ComponentName,
    pub field: ReferenceField,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Reference(Reference),
}

/// A text with references in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

impl Template {
    pub fn as_str(&self) -> &str {
        &self.source
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// The text with every reference replaced; `None` when one stands for nothing.
    pub fn fill(&self, value: impl Fn(&Reference) -> Option<String>) -> Option<String> {
        let piece = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Reference(reference) => value(reference),
        };
        self.parts.iter().map(piece).collect()
    }
}

impl FromStr for Template {
    type Err = Malformed;

    fn from_str(source: &str) -> Result<Self, Malformed> {
        if source.contains('\0') {
            return Err(WRONG);
        }
        let (mut parts, mut rest, mut text) = (Vec::new(), source, String::new());
        while let Some(at) = rest.find(OPEN) {
            let (before, after) = (&rest[..at], &rest[at + OPEN.len()..]);
            if let Some(before) = before.strip_suffix('$') {
                text.push_str(before);
                text.push_str(OPEN);
                rest = after;
                continue;
            }
            text.push_str(before);
            let (inside, behind) = after.split_once('}').ok_or(WRONG)?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Reference(reference(inside)?));
            rest = behind;
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { source: source.to_owned(), parts })
    }
}

fn reference(inside: &str) -> Result<Reference, Malformed> {
    let (name, field) = inside.split_once('.').ok_or(WRONG)?;
    let field = ReferenceField::ALL.iter().copied().find(|known| known.as_str() == field).ok_or(WRONG)?;
    Ok(Reference { component: name.parse().map_err(|_| WRONG)?, field })
}

impl TryFrom<String> for Template {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.source
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(text: &str) -> Option<String> {
        let template: Template = text.parse().ok()?;
        template.fill(|r| Some(format!("<{} {}>", r.component, r.field.as_str())))
    }

    #[test]
    fn references_are_replaced_and_nothing_else() {
        assert_eq!(filled("a ${component.db.url} b").as_deref(), Some("a <db url> b"));
        assert_eq!(
            filled("${component.db.user}:${component.db.password}@").as_deref(),
            Some("<db user>:<db password>@")
        );
        assert_eq!(filled("$${component.db.url}").as_deref(), Some("${component.db.url}"));
        assert_eq!(filled("$$${component.db.url}").as_deref(), Some("$${component.db.url}"));
        for same in ["", "$", "${HOME} $$ ${", "${components.db.url}", "}", "a\nb\"'`#\\"] {
            assert_eq!(filled(same).as_deref(), Some(same));
        }
        for bad in [
            "${component.",
            "${component.db}",
            "${component.db.name}",
            "${component.DB.url}",
            "${component.db.url",
            "\0",
        ] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_stands_for_nothing_fills_nothing() {
        let template: Template = "x${component.db.url}".parse().expect("a template");
        assert_eq!(template.fill(|_| None), None);
        assert_eq!(template.references().count(), 1);
    }

    proptest! {
        #[test]
        fn a_text_without_references_is_itself(text in "[^\0]{0,40}") {
            prop_assume!(!text.contains(OPEN));
            prop_assert_eq!(filled(&text), Some(text));
        }

        /// What a value becomes is never read again as a template.
        #[test]
        fn a_value_is_not_read_again(value in "(\\$|\\{|component\\.|db\\.url|\\}|x){0,8}") {
            let template: Template = "[${component.db.url}]".parse().expect("a template");
            prop_assert_eq!(template.fill(|_| Some(value.clone())), Some(format!("[{value}]")));
        }
    }
}

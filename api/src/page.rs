//! Lists in pages: newest first, continued by a cursor.
//!
//! Invariant: a cursor is the id of the last item given, so nothing is missed or repeated while rows are added.

use std::borrow::Cow;

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};

/// A page when the caller names no size.
const DEFAULT: u32 = 50;
const MAX: u32 = 200;

/// One page of a list.
#[derive(Object)]
pub struct Page<T: Type + ParseFromJSON + ToJSON> {
    pub items: Vec<T>,
    /// Give it as `cursor` to read on; absent on the last page.
    #[oai(skip_serializing_if_is_none)]
    pub next_cursor: Option<String>,
}

impl<T: Type + ParseFromJSON + ToJSON> Page<T> {
    /// A list that is short enough for one page.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

/// How many items of a list a caller wants.
#[derive(Clone, Copy, Debug)]
pub struct Limit(u32);

impl Limit {
    /// How many rows to ask the store for: one more than the page, to know whether there is another.
    pub fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// The page of rows that were asked for with [`Limit::rows`]; `id` names a row, `show` shows it.
    pub fn page<R, T>(self, rows: Vec<R>, id: impl Fn(&R) -> String, show: impl Fn(R) -> T) -> Page<T>
    where
        T: Type + ParseFromJSON + ToJSON,
    {
        let size = self.0 as usize;
        let next_cursor = (rows.len() > size).then(|| id(&rows[size - 1]));
        Page { items: rows.into_iter().take(size).map(show).collect(), next_cursor }
    }
}

impl Type for Limit {
    const IS_REQUIRED: bool = false;
    type RawValueType = u32;
    type RawElementValueType = u32;

    fn name() -> Cow<'static, str> {
        "limit".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(1.0),
            maximum: Some(MAX.into()),
            default: Some(DEFAULT.into()),
            ..MetaSchema::new_with_format("integer", "uint32")
        }))
    }

    fn as_raw_value(&self) -> Option<&u32> {
        Some(&self.0)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a u32> + 'a> {
        Box::new(std::iter::once(&self.0))
    }
}

impl ParseFromParameter for Limit {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let size = value.parse().ok().filter(|size| (1..=MAX).contains(size));
        size.map(Self).ok_or_else(|| ParseError::custom(format!("a number from 1 to {MAX}")))
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        values.into_iter().next().map_or(Ok(Self(DEFAULT)), |value| Self::parse_from_parameter(value.as_ref()))
    }
}

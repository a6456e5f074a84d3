//! Lists in pages: newest first, continued by a cursor.
//!
//! Invariant: a cursor is the id of the last item given, so nothing is missed or repeated while rows are added.

use poem_openapi::{
    Object,
    types::{ParseFromJSON, ToJSON, Type},
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

/// How many rows to ask the store for: one more than the page, to know whether there is another.
pub fn rows_for(limit: Option<u32>) -> i64 {
    i64::from(size(limit)) + 1
}

fn size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(DEFAULT).clamp(1, MAX)
}

impl<T: Type + ParseFromJSON + ToJSON> Page<T> {
    /// The page of rows that were asked for with [`rows_for`]; `id` names a row, `show` shows it.
    pub fn of<R>(rows: Vec<R>, limit: Option<u32>, id: impl Fn(&R) -> String, show: impl Fn(R) -> T) -> Self {
        let size = size(limit) as usize;
        let next_cursor = (rows.len() > size).then(|| id(&rows[size - 1]));
        Self { items: rows.into_iter().take(size).map(show).collect(), next_cursor }
    }
}

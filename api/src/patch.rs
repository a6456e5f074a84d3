//! Fields of changes: what is absent stays as it is.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;

/// A field that always has a value: `null` is refused, where an `Option` would take it for absent.
pub struct Change<T>(Option<T>);

/// A field that `null` removes.
pub struct Clear<T>(Option<Option<T>>);

impl<T> Change<T> {
    pub fn or(self, old: T) -> T {
        self.0.unwrap_or(old)
    }

    pub fn given(self) -> Option<T> {
        self.0
    }
}

impl<T> Clear<T> {
    pub fn or(self, old: Option<T>) -> Option<T> {
        self.0.unwrap_or(old)
    }
}

impl<T: Type> Type for Change<T> {
    const IS_REQUIRED: bool = false;
    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        format!("change_{}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&T::RawValueType> {
        self.0.as_ref()?.as_raw_value()
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a T::RawElementValueType> + 'a> {
        Box::new(self.0.iter().flat_map(T::raw_element_iter))
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Change<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            None => Ok(Self(None)),
            Some(Value::Null) => Err(ParseError::custom("it cannot be removed: null is not allowed")),
            Some(value) => T::parse_from_json(Some(value)).map(|v| Self(Some(v))).map_err(ParseError::propagate),
        }
    }
}

impl<T: ToJSON> ToJSON for Change<T> {
    fn to_json(&self) -> Option<Value> {
        self.0.as_ref()?.to_json()
    }
}

impl<T: Type> Type for Clear<T> {
    const IS_REQUIRED: bool = false;
    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        format!("clear_{}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(match T::schema_ref() {
            MetaSchemaRef::Inline(schema) => MetaSchema { nullable: true, ..*schema },
            named => MetaSchema { nullable: true, all_of: vec![named], ..MetaSchema::ANY },
        }))
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&T::RawValueType> {
        self.0.as_ref()?.as_ref()?.as_raw_value()
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a T::RawElementValueType> + 'a> {
        Box::new(self.0.iter().flatten().flat_map(T::raw_element_iter))
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Clear<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            None => Ok(Self(None)),
            Some(Value::Null) => Ok(Self(Some(None))),
            Some(value) => T::parse_from_json(Some(value)).map(|v| Self(Some(Some(v)))).map_err(ParseError::propagate),
        }
    }
}

impl<T: ToJSON> ToJSON for Clear<T> {
    fn to_json(&self) -> Option<Value> {
        self.0.as_ref().map(|value| value.as_ref().and_then(T::to_json).unwrap_or_default())
    }
}

//! A body in which everything is optional may be absent as a whole.

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    error::{ContentTypeError, ParseRequestPayloadError},
    payload::{Json, Payload},
    registry::{MetaMediaType, MetaRequest, Registry},
    types::ParseFromJSON,
};
use serde_json::Value;

/// The body, or what an empty object means.
pub struct OptionalJson<T>(pub T);

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for OptionalJson<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let json = MetaMediaType { content_type: Json::<T>::CONTENT_TYPE, schema: T::schema_ref() };
        Some(MetaRequest { description: None, content: vec![json], required: false })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = <Vec<u8> as FromRequest>::from_request(request, body).await?;
        let refused = |reason: String| ParseRequestPayloadError { reason };
        let value = match (bytes.is_empty(), request.content_type()) {
            (true, _) => Value::Object(Default::default()),
            (false, Some(kind)) if Json::<T>::check_content_type(kind) => {
                serde_json::from_slice(&bytes).map_err(|e| refused(e.to_string()))?
            }
            (false, Some(kind)) => Err(ContentTypeError::NotSupported { content_type: kind.to_owned() })?,
            (false, None) => Err(ContentTypeError::ExpectContentType)?,
        };
        Ok(Self(T::parse_from_json(Some(value)).map_err(|e| refused(e.into_message()))?))
    }
}

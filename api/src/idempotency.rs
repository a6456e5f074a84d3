//! One effect per Idempotency-Key.
//!
//! Invariants: the answer is stored in the transaction of the effect, so either both exist or neither; a key answers
//! only the request that it was first sent with; stored answers are sealed, because some show a secret once. A refused
//! request stores nothing and can be sent again. Absent: reading the body (the edge makes its fingerprint).

use std::marker::PhantomData;

use poem::{IntoResponse, Request, RequestBody, Response, http::StatusCode};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    payload::{Json, Payload},
    registry::{MetaHeader, MetaMediaType, MetaParamIn, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::{ParseFromJSON, ToJSON, Type},
};
use shared::{
    domain::ClientId,
    secrets::Place,
    store::{Tx, idempotency},
};

use crate::{app::App, edge::Fingerprint, problem::Problem};

const FIELD: &str = "idempotency_keys.body";

/// The key that a request carries, and the fingerprint of the request.
#[derive(Clone, Debug)]
pub struct Idempotency {
    key: Option<String>,
    fingerprint: String,
}

impl<'a> ApiExtractor<'a> for Idempotency {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = false;
    type ParamType = String;
    type ParamRawType = String;

    fn register(registry: &mut Registry) {
        <String as Type>::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(String::schema_ref())
    }

    fn param_raw_type(&self) -> Option<&String> {
        self.key.as_ref()
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<String>,
    ) -> poem::Result<Self> {
        let fingerprint = request.data::<Fingerprint>().map(|f| f.0.clone()).unwrap_or_default();
        let Some(value) = request.headers().get(options.name) else { return Ok(Self { key: None, fingerprint }) };
        let key =
            value.to_str().ok().filter(|k| (1..=200).contains(&k.len()) && k.bytes().all(|b| b.is_ascii_graphic()));
        match key {
            Some(key) => Ok(Self { key: Some(key.to_owned()), fingerprint }),
            None => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_idempotency_key",
                "An Idempotency-Key has 1 to 200 visible ASCII characters.",
            )
            .into()),
        }
    }
}

/// A request whose effect is about to be made, in this transaction.
pub struct Once {
    pub tx: Tx,
    slot: Option<Slot>,
}

struct Slot {
    client: ClientId,
    key: String,
    fingerprint: String,
}

/// What to do with a request.
pub enum Begun<T, const STATUS: u16> {
    /// It was answered before.
    Replay(Answer<T, STATUS>),
    /// Make its effect, then [`Once::finish`].
    New(Once),
}

/// Begins the effect of a request, or finds the answer that it was given before. A second request with the same key
/// waits here until the first one is done.
pub async fn begin<T, const STATUS: u16>(
    app: &App,
    client: ClientId,
    request: Idempotency,
) -> Result<Begun<T, STATUS>, Problem> {
    let mut tx = app.db.begin().await?;
    let Some(key) = request.key else { return Ok(Begun::New(Once { tx, slot: None })) };
    let slot = Slot { client, key, fingerprint: request.fingerprint };
    if idempotency::reserve(&mut tx, app.db.now_ms(), &client.to_string(), &slot.key, &slot.fingerprint).await? {
        return Ok(Begun::New(Once { tx, slot: Some(slot) }));
    }
    replay(app, &mut tx, &slot).await.map(Begun::Replay)
}

async fn replay<T, const STATUS: u16>(app: &App, tx: &mut Tx, slot: &Slot) -> Result<Answer<T, STATUS>, Problem> {
    let found = idempotency::find(tx, &slot.client.to_string(), &slot.key).await?.ok_or_else(Problem::internal)?;
    if found.request_hash != slot.fingerprint {
        let detail = "This Idempotency-Key was used for a different request.";
        return Err(Problem::invalid("idempotency_key_reused", detail));
    }
    let opened = app.config.master_key.open(place(slot), &found.body)?;
    let body = String::from_utf8(opened.to_vec()).map_err(|_| Problem::internal())?;
    Ok(Answer { location: found.location, body, replayed: true, shape: PhantomData })
}

fn place(slot: &Slot) -> Place<'_> {
    Place { client: slot.client, field: FIELD, row: &slot.key }
}

impl Once {
    /// Stores the answer, if the request has a key, and commits it with the effect.
    pub async fn finish<T: ToJSON, const STATUS: u16>(
        mut self,
        app: &App,
        location: impl Into<Option<String>>,
        body: T,
    ) -> Result<Answer<T, STATUS>, Problem> {
        let answer =
            Answer { location: location.into(), body: body.to_json_string(), replayed: false, shape: PhantomData };
        if let Some(slot) = &self.slot {
            let stored = idempotency::Answer {
                request_hash: slot.fingerprint.clone(),
                status: STATUS.into(),
                location: answer.location.clone(),
                body: app.config.master_key.seal(place(slot), answer.body.as_bytes())?,
            };
            idempotency::complete(&mut self.tx, &slot.client.to_string(), &slot.key, &stored).await?;
        }
        self.tx.commit().await?;
        Ok(answer)
    }
}

/// The answer to a request that made something.
pub struct Answer<T, const STATUS: u16> {
    location: Option<String>,
    body: String,
    replayed: bool,
    shape: PhantomData<fn() -> T>,
}

/// It exists now.
pub type Created<T> = Answer<T, 201>;
/// It is on its way, as a job.
pub type Accepted<T> = Answer<T, 202>;

impl<T, const STATUS: u16> Answer<T, STATUS> {
    /// An answer to a request that cannot carry a key.
    pub fn plain(location: String, body: T) -> Self
    where
        T: ToJSON,
    {
        Self { location: Some(location), body: body.to_json_string(), replayed: false, shape: PhantomData }
    }
}

impl<T: Send, const STATUS: u16> IntoResponse for Answer<T, STATUS> {
    fn into_response(self) -> Response {
        let mut response = Response::builder()
            .status(StatusCode::from_u16(STATUS).unwrap_or_default())
            .content_type("application/json; charset=utf-8");
        if let Some(location) = self.location {
            response = response.header("location", location);
        }
        if self.replayed {
            response = response.header("idempotency-replayed", "true");
        }
        response.body(self.body)
    }
}

impl<T: Type + ToJSON + ParseFromJSON, const STATUS: u16> ApiResponse for Answer<T, STATUS> {
    fn meta() -> MetaResponses {
        let header = |name: &str, about: &str| MetaHeader {
            name: name.into(),
            description: Some(about.into()),
            required: false,
            deprecated: false,
            schema: String::schema_ref(),
        };
        let response = MetaResponse {
            description: if STATUS == 201 { "Created" } else { "Accepted: it goes on as a job" },
            status: Some(STATUS),
            status_range: None,
            content: vec![MetaMediaType { content_type: Json::<T>::CONTENT_TYPE, schema: T::schema_ref() }],
            headers: vec![
                header("Location", "Where the new thing is."),
                header("Idempotency-Replayed", "`true` when the answer was given before to the same request."),
            ],
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

//! The wire to an emulator in the same process, and boundaries around each of its requests.

use async_trait::async_trait;
use cloud_emulator::{CloudKind, Emulator, Outcome};
use http::Request;
use shared::{
    crash,
    providers::wire::{Answer, Call, NoAnswer, Wire},
};

pub struct InProcess {
    pub emulator: Emulator,
    pub cloud: CloudKind,
}

#[async_trait]
impl Wire for InProcess {
    async fn send(&self, call: Call) -> Result<Answer, NoAnswer> {
        crash::boundary("request.before");
        let mut request = Request::builder().method(call.method).uri(call.url);
        *request.headers_mut().expect("a request") = call.headers;
        let request = request.body(call.body).expect("a request");
        let outcome = self.emulator.handle(self.cloud, request).await;
        crash::boundary("request.after");
        match outcome {
            Outcome::Reply(reply) => {
                let (parts, body) = reply.into_parts();
                Ok(Answer { status: parts.status, headers: parts.headers, body })
            }
            Outcome::Cut => Err(NoAnswer { sent: true, message: "cut off".into() }),
        }
    }
}

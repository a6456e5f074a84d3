use axum::{Router, routing::get};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "3200".into());
    let app = Router::new()
        .route("/", get(|| async { digest_words::of("workspace") }))
        .route("/healthz", get(|| async { "ok" }));
    axum::serve(tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await?, app).await
}

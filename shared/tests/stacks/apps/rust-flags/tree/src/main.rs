#[derive(clap::Parser)]
struct Options {
    /// Where to listen.
    #[arg(short, long, default_value = "127.0.0.1")]
    interface: String,
    #[arg(short, long, default_value_t = 8080)]
    port: u16,
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let options = <Options as clap::Parser>::parse();
    actix_web::HttpServer::new(actix_web::App::new).bind((options.interface, options.port))?.run().await
}

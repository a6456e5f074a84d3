//! The emulator, asked over its own request interface on a clock that only the tests move.

mod aws;
mod backed;
mod digitalocean;
mod hetzner;
mod ovh;
mod sockets;
mod world;

//! The clients of Hetzner, DigitalOcean and OVHcloud against the emulator of those clouds: the same course for each.

mod faults;
mod life;
mod names;
mod openapi;
mod world;

//! The steps of a build, in order. Each is safe to repeat by a later attempt.

pub mod build;
pub mod builder;
mod caches;
pub mod classify;
mod denied;
pub mod fetch;
pub mod generate;
mod pack;
pub mod parts;
pub mod push;
pub mod work_dir;

//! Clouds as data: what lets us into an account, what can be had there, and what it comes to.

mod bill;
mod catalog;
mod credentials;

pub use bill::{PriceSince, cost, decimal, month_of};
pub use catalog::{Catalog, Image, Money, Region, Size, SizeIn};
pub use credentials::{AwsLogin, Credentials, OvhEndpoint, OvhLogin};

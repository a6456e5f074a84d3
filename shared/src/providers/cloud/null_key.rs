//! A login key whose private half nobody has: it keeps clouds from making and mailing a root password.

use super::{Class, CloudError};
use crate::ssh::generate_key;

/// The public half of a login key whose private half is forgotten as it is made.
pub(in crate::providers) fn make(cloud: &'static str, name: &str) -> Result<String, CloudError> {
    let made = generate_key(name);
    made.map(|key| key.public).map_err(|e| CloudError::new(cloud, Class::Later, "no_key", e.to_string()))
}

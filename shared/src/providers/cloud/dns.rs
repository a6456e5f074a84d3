//! What a record is in a zone, at every cloud alike.

use super::{Class, CloudError, Record};

/// A record's name inside its zone; `None` for the zone's own name.
pub(in crate::providers) fn label<'a>(cloud: &'static str, record: &'a Record) -> Result<Option<&'a str>, CloudError> {
    let (name, zone) = (record.name.as_str(), record.zone.as_str());
    if name == zone {
        return Ok(None);
    }
    let label = name.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.')).filter(|l| !l.is_empty());
    let outside = || CloudError::new(cloud, Class::Config, "bad_name", format!("{name} is not in the zone {zone}"));
    label.map(Some).ok_or_else(outside)
}

/// The type of a record for its address.
pub(in crate::providers) fn kind(record: &Record) -> &'static str {
    if record.address.is_ipv4() { "A" } else { "AAAA" }
}

/// Whether a text is the record's address, in whatever form.
pub(in crate::providers) fn is_address(text: &str, record: &Record) -> bool {
    text.parse() == Ok(record.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_inside_its_zone() {
        let record = |name: &str| Record {
            zone: "example.org".to_owned(),
            name: name.to_owned(),
            address: "192.0.2.1".parse().expect("an address"),
            ttl: 60,
        };
        assert_eq!(label("x", &record("example.org")).expect("its own"), None);
        assert_eq!(label("x", &record("a.b.example.org")).expect("inside"), Some("a.b"));
        for outside in ["badexample.org", ".example.org", "example.com", ""] {
            assert!(label("x", &record(outside)).is_err(), "{outside}");
        }
    }
}

//! How a client shows that it controls a name: what has to stand where.
//!
//! Invariant: a token is one client's for one name, so what another client can read of it proves nothing for that one.
//! Absent: looking (the API's `proofs`), and who holds a name (`store::domain_proofs`).

use super::DomainName;

/// Where the record of a name stands: below the name, so that whoever can write it writes the name's zone.
pub fn record_name(name: &DomainName) -> String {
    format!("_byop-challenge.{name}")
}

/// The text of the record, and all that the file says.
pub fn value(token: &str) -> String {
    format!("byop-verify={token}")
}

/// The path of the file.
pub fn path(token: &str) -> String {
    format!("/.well-known/byop-challenge/{token}")
}

/// The name itself and every domain in which it lies, the longest first; top-level domains are nobody's.
pub fn with_parents(name: &DomainName) -> impl Iterator<Item = &str> {
    let parents = std::iter::successors(Some(name.as_str()), |name| name.split_once('.').map(|(_, parent)| parent));
    parents.take_while(|name| name.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lies_in_its_parents() {
        let name: DomainName = "a.b.example.org".parse().expect("a name");
        assert_eq!(with_parents(&name).collect::<Vec<_>>(), ["a.b.example.org", "b.example.org", "example.org"]);
        assert_eq!(record_name(&name), "_byop-challenge.a.b.example.org");
    }
}

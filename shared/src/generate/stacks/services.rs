//! Data services that an app's libraries talk to, by words of its manifest.

/// A word of a manifest, and the service that it speaks for.
pub type Service = (&'static str, &'static str);

/// The services, each once, in the order of the table; those that other platforms' files name come first.
pub fn needs(hinted: &[String], manifests: &str, table: &[Service]) -> Vec<String> {
    let found = table.iter().filter(|(word, _)| manifests.contains(word)).map(|(_, service)| (*service).to_owned());
    let mut all: Vec<String> = Vec::new();
    for service in hinted.iter().cloned().chain(found) {
        if !all.contains(&service) {
            all.push(service);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once() {
        let table = [("libpq", "postgres"), ("pgx", "postgres"), ("redis", "redis")];
        assert_eq!(needs(&["mysql".into(), "redis".into()], "pgx libpq redis", &table), ["mysql", "redis", "postgres"]);
        assert!(needs(&[], "", &table).is_empty());
    }
}

pub fn of(text: &str) -> String {
    let digest = openssl::sha::sha256(text.as_bytes());
    let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{text} is {hex}")
}

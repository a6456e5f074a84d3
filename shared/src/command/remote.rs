//! One command line for a remote POSIX shell, from an argument vector.
//!
//! Invariant: the far shell splits [`line`] into exactly the arguments given, whatever bytes they hold. This is the only
//! place where arguments become shell text. Absent: pipes, redirections, expansion; a script goes in as one argument.

/// An argument holds a NUL byte, which no process can receive.
#[derive(Debug, thiserror::Error)]
#[error("an argument of a remote command holds a NUL byte")]
pub struct NulByte;

/// The command line whose arguments are `argv`.
pub fn line<S: AsRef<str>>(argv: impl IntoIterator<Item = S>) -> Result<String, NulByte> {
    let words: Result<Vec<_>, _> = argv.into_iter().map(|word| quote(word.as_ref())).collect();
    Ok(words?.join(" "))
}

/// One argument in single quotes, where a shell reads nothing but the closing quote.
fn quote(word: &str) -> Result<String, NulByte> {
    if word.contains('\0') {
        return Err(NulByte);
    }
    Ok(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// The arguments that a real shell makes of the line.
    fn split_by_sh(argv: &[String]) -> Vec<u8> {
        let script = format!(r#"set -- {}; [ $# = 0 ] || printf '%s\0' "$@""#, line(argv).expect("no NUL"));
        let out = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }

    fn expected(argv: &[String]) -> Vec<u8> {
        argv.iter().flat_map(|word| word.bytes().chain([0])).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn a_real_shell_gives_back_the_arguments(argv in prop::collection::vec("[^\0]{0,12}|[-'\"\\\\$`!*?~#&;|<>(){}\\[\\] \t\r\n=]{0,8}", 0..6)) {
            prop_assert_eq!(split_by_sh(&argv), expected(&argv));
        }
    }

    #[test]
    fn known_traps_survive() {
        let argv: Vec<String> =
            ["", "-n", "a b", "'", "''", "\\'", "$(id)", "`id`", "\n", "~", "*", "!!", "é", "a=b", "%s"]
                .map(String::from)
                .into();
        assert_eq!(split_by_sh(&argv), expected(&argv));
    }

    #[test]
    fn a_nul_byte_is_refused() {
        assert!(line(["a\0b"]).is_err());
    }
}

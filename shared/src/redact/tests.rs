//! What gets through, and what does not.

use proptest::prelude::*;

use super::*;

fn filter(secrets: &[&str], pieces: &[&[u8]]) -> Vec<String> {
    let mut filter = LogFilter::new(Redactor::new(secrets));
    let mut lines: Vec<String> = pieces.iter().flat_map(|p| filter.push(p)).collect();
    lines.extend(filter.finish());
    lines
}

#[test]
fn control_characters_go() {
    let lines =
        filter(&[], &[b"\x1b[31mred\x1b[0m\x1b]0;title\x07 a\x00b\x08\r\nnext\rlast\x1b]never ends\nx\xc2\x9bz"]);
    assert_eq!(lines, ["red ab", "next", "last", "xz"]);
    assert_eq!(filter(&[], &["a\u{202e}b\u{feff}".as_bytes()]), ["ab"]);
}

#[test]
fn cut_escape_sequences_go_too() {
    assert_eq!(filter(&[], &[b"a\x1b", b"[3", b"1mb"]), ["ab"]);
}

#[test]
fn an_escape_sequence_does_not_hide_a_secret() {
    assert_eq!(filter(&["hunter22"], &[b"is hun\x1b[0mter22."]), ["is [secret]."]);
}

#[test]
fn overlapping_and_nested_secrets_are_one_mask() {
    assert_eq!(filter(&["abcd", "cdefgh"], &[b"x abcdefgh y"]), ["x [secret] y"]);
    assert_eq!(filter(&["abcd", "abcdefgh"], &[b"x abcd", b"efgh y abcd z"]), ["x [secret] y [secret] z"]);
}

#[test]
fn lines_of_a_longer_secret_are_secrets() {
    let key = "-----BEGIN KEY-----\nAAAABBBBCCCCDDDD\nEEEEFFFFGGGG\n-----END KEY-----\n";
    let lines = filter(&[key], &[b"#5 AAAABBBBCCCCDDDD\n#5 EEEEFFFFGGGG\n"]);
    assert_eq!(lines, ["#5 [secret]", "#5 [secret]"]);
}

#[test]
fn long_lines_are_cut() {
    let long = "é".repeat(MAX_LINE);
    let lines = filter(&[], &[long.as_bytes()]);
    assert_eq!(lines.concat(), long);
    assert!(lines.iter().all(|l| l.len() <= MAX_LINE + 4));
}

#[test]
fn json_that_is_fit_for_html() {
    for form in [r"a\u0026b\u003cc\u003ed", r"a\u0026b\u003Cc\u003Ed"] {
        assert_eq!(filter(&["a&b<c>d"], &[form.as_bytes()]), ["[secret]"]);
    }
}

#[test]
fn a_line_that_ended_is_shown_at_once() {
    let mut filter = LogFilter::new(Redactor::new(["0123456789abcdefghijklmnopqrstuvwxyz"]));
    assert_eq!(filter.push(b"is at 789\n"), ["is at 789"]);
    assert_eq!(filter.push(b"x 3456789abcdefghij\n"), ["x [secret]"]);
}

#[test]
fn text_that_could_become_a_secret_is_shown_at_the_end() {
    assert_eq!(filter(&["hunter22"], &[b"hunt"]), ["hunt"]);
}

fn hides(secret: &str, form: Vec<u8>, before: &str, after: &str, cut: usize) {
    let mut stream = before.as_bytes().to_vec();
    stream.extend(form.iter());
    stream.extend(after.as_bytes());
    let cut = cut % (stream.len() + 1);
    let shown = filter(&[secret], &[&stream[..cut], &stream[cut..]]).join("\n");
    let form = String::from_utf8_lossy(&form).into_owned();
    assert!(!shown.contains(&form), "{form:?} of {secret:?} in {shown:?}");
    assert!(shown.contains("[secret]"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn wrapped_base64_of_a_long_secret(
        secret in prop::collection::vec(any::<u8>(), 60..2000), wide in any::<bool>(), before in "[a-z]{0,8}",
    ) {
        let whole = [before.as_bytes(), &secret].concat();
        let encoded = general_purpose::STANDARD.encode(&whole);
        let lines = encoded.as_bytes().chunks(if wide { 76 } else { 64 });
        let text: Vec<u8> = lines.flat_map(|l| [b"#5 0.1 ", l, b"\n"].concat()).collect();
        let mut filter = LogFilter::new(Redactor::new([&secret]));
        let mut shown = filter.push(&text);
        shown.extend(filter.finish());
        let form = &base64_forms(&secret, before.len() % 3)[0];
        let pieces: std::collections::HashSet<_> = form.windows(PIECE).collect();
        for line in shown {
            let told = line.as_bytes().windows(PIECE).any(|run| pieces.contains(run));
            prop_assert!(!told, "{line}");
        }
    }
}

proptest! {
    #[test]
    fn no_form_gets_through(
        secret in "[!-~à-ÿ]{8,40}", before in "[ .]{0,9}", after in "[ .]{0,9}", cut in 0usize..200,
    ) {
        hides(&secret, secret.clone().into_bytes(), &before, &after, cut);
        hides(&secret, percent_encode(secret.as_bytes(), UNRESERVED).to_string().into_bytes(), &before, &after, cut);
        let json = serde_json::Value::from(secret.as_str()).to_string();
        hides(&secret, json.as_bytes()[1..json.len() - 1].to_vec(), &before, &after, cut);
    }

    #[test]
    fn base64_of_anything_with_the_secret_in_it(
        secret in "[a-zA-Z0-9]{12,40}", before in "[a-z]{0,8}", after in "[a-z]{0,8}", cut in 0usize..200,
    ) {
        let encoded = general_purpose::STANDARD.encode(format!("{before}{secret}{after}"));
        let cut = cut % (encoded.len() + 1);
        let shown = filter(&[&secret], &[&encoded.as_bytes()[..cut], &encoded.as_bytes()[cut..]]).join("");
        let inner = &base64_forms(secret.as_bytes(), before.len() % 3)[0];
        prop_assert!(!shown.contains(std::str::from_utf8(inner).expect("ascii")));
    }

    #[test]
    fn any_cut_gives_the_same_lines(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
        let cut = cut % (bytes.len() + 1);
        let secrets = ["abc1", "\u{1}\u{2}zz"];
        prop_assert_eq!(filter(&secrets, &[&bytes]), filter(&secrets, &[&bytes[..cut], &bytes[cut..]]));
    }

    #[test]
    fn lines_are_clean(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for line in filter(&[], &[&bytes]) {
            prop_assert!(!line.chars().any(|c| c.is_control() && c != '\t'));
        }
    }
}

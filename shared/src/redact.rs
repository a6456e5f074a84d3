//! Making output of untrusted commands fit to be stored and shown: secrets masked, control characters removed, lines
//! of bounded length.
//!
//! Invariants: no given secret of at least [`MIN_SECRET`] bytes leaves here raw, in base64 (wherever it stands in the
//! encoded data), URL-encoded or JSON-escaped, also when it arrives in pieces; nor does a run of [`PIECE`] bytes of a
//! longer one, because `base64` and others wrap what they write; every line is valid text without control characters.
//! Absent: shorter ends of such lines, and forms that a command invents on purpose (reversed, encrypted): a build that is given a secret
//! can always give it away.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Shorter secrets are not masked: they would mask half of every log and so be told by it.
pub const MIN_SECRET: usize = 4;
/// So many bytes of a form of a secret are masked wherever they stand.
pub const PIECE: usize = 16;
/// A base64 form shorter than this would match by chance.
const MIN_ENCODED: usize = 5;
const MASK: &[u8] = b"[secret]";
/// Longer lines are cut into pieces of this many bytes.
const MAX_LINE: usize = 8 * 1024;
/// What most encoders leave as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What JavaScript's `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');

/// The forms of some secrets that have to be masked. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    needles: Arc<Needles>,
}

#[derive(Default)]
struct Needles {
    /// By first byte.
    by_first: Vec<Vec<Vec<u8>>>,
    /// Every piece of the longer ones, sorted.
    pieces: Vec<[u8; PIECE]>,
    /// First bytes of pieces: most positions of a log are none.
    begins: Vec<bool>,
}

impl Redactor {
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut by_first = vec![Vec::new(); 256];
        for needle in secrets.into_iter().flat_map(|s| forms(s.as_ref())) {
            let bucket: &mut Vec<Vec<u8>> = &mut by_first[usize::from(needle[0])];
            if !bucket.contains(&needle) {
                bucket.push(needle);
            }
        }
        let mut pieces: Vec<[u8; PIECE]> =
            by_first.iter().flatten().flat_map(|n| n.windows(PIECE)).filter_map(|w| w.try_into().ok()).collect();
        // A mask of a piece must not join lines; those of a longer secret have needles of their own.
        pieces.retain(|piece| !piece.contains(&b'\n'));
        pieces.sort_unstable();
        pieces.dedup();
        let mut begins = vec![false; 256];
        pieces.iter().for_each(|piece| begins[usize::from(piece[0])] = true);
        Self { needles: Arc::new(Needles { by_first, pieces, begins }) }
    }

    /// Masks a whole text.
    pub fn text(&self, text: &str) -> String {
        let mut filter = LogFilter::new(self.clone());
        let mut lines = filter.push(text.as_bytes());
        lines.extend(filter.finish());
        lines.join("\n")
    }
}

impl Needles {
    fn starting_like(&self, rest: &[u8]) -> impl Iterator<Item = &[u8]> {
        let bucket = rest.first().and_then(|b| self.by_first.get(usize::from(*b)));
        bucket.into_iter().flatten().map(Vec::as_slice)
    }

    /// The length of the longest secret that starts here.
    fn longest_match(&self, rest: &[u8]) -> usize {
        let whole = self.starting_like(rest).filter(|n| rest.starts_with(n)).map(<[u8]>::len).max().unwrap_or(0);
        let piece = rest.get(..PIECE).is_some_and(|piece| self.piece_from(piece).is_some_and(|found| found == piece));
        whole.max(if piece { PIECE } else { 0 })
    }

    /// The first piece that is not before these bytes.
    fn piece_from(&self, bytes: &[u8]) -> Option<&[u8; PIECE]> {
        let known = bytes.first().and_then(|b| self.begins.get(usize::from(*b)));
        known.filter(|begins| **begins)?;
        self.pieces.get(self.pieces.partition_point(|piece| piece.as_slice() < bytes))
    }

    /// Whether more bytes could make a (longer) secret of what starts here.
    fn may_grow(&self, rest: &[u8]) -> bool {
        self.starting_like(rest).any(|n| n.len() > rest.len() && n.starts_with(rest))
            || rest.len() < PIECE && self.piece_from(rest).is_some_and(|piece| piece.starts_with(rest))
    }
}

/// Every form in which a secret is looked for.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = text_forms(secret);
    // Logs are made of lines, so the lines of a longer secret are looked for as well.
    if secret.contains(&b'\n') {
        forms.extend(
            secret.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| l.len() >= 8).flat_map(text_forms),
        );
    }
    // A trailing newline is part of many files and of no line.
    forms.extend(text_forms(secret.trim_ascii_end()));
    forms
}

fn text_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    if secret.len() < MIN_SECRET {
        return Vec::new();
    }
    let mut forms = vec![secret.to_vec()];
    for set in [NON_ALPHANUMERIC, UNRESERVED, COMPONENT] {
        let encoded = percent_encode(secret, set).to_string();
        forms.push(encoded.replace("%20", "+").into_bytes());
        forms.push(lower_hex(&encoded));
        forms.push(encoded.into_bytes());
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        forms.extend(json_forms(text));
    }
    for offset in 0..3 {
        forms.extend(base64_forms(secret, offset));
    }
    forms
}

/// `%2F` → `%2f`.
fn lower_hex(encoded: &str) -> Vec<u8> {
    let mut bytes = encoded.as_bytes().to_vec();
    for i in 0..bytes.len() {
        if bytes[i] == b'%' {
            bytes[i + 1..].iter_mut().take(2).for_each(u8::make_ascii_lowercase);
        }
    }
    bytes
}

/// As JSON writes it: plain, with everything beyond ASCII escaped, and with escaped slashes; each as it is and fit to
/// stand in HTML, as Go writes it unless it is told not to.
fn json_forms(text: &str) -> Vec<Vec<u8>> {
    let plain = serde_json::Value::from(text).to_string();
    let plain = &plain[1..plain.len() - 1];
    let mut ascii = String::new();
    for c in plain.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")));
        }
    }
    let slashes = ascii.replace('/', "\\/");
    let upper = |text: &str| text.replace('&', "\\u0026").replace('<', "\\u003C").replace('>', "\\u003E");
    let lower = |text: &str| upper(text).replace("\\u003C", "\\u003c").replace("\\u003E", "\\u003e");
    let forms = [plain, &ascii, &slashes].map(|text| [text.to_owned(), upper(text), lower(text)]);
    forms.into_iter().flatten().map(String::into_bytes).collect()
}

/// The characters of the encoding that do not depend on what stands before (`offset` bytes, modulo 3) and after.
fn base64_forms(secret: &[u8], offset: usize) -> Vec<Vec<u8>> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(secret);
    let (first, end) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    let inner = |encoded: String| encoded.as_bytes()[first..end].to_vec();
    [general_purpose::STANDARD_NO_PAD.encode(&padded), general_purpose::URL_SAFE_NO_PAD.encode(&padded)]
        .map(inner)
        .into_iter()
        .filter(|f| f.len() >= MIN_ENCODED)
        .collect()
}

/// A stream of bytes on its way to log lines.
pub struct LogFilter {
    redactor: Redactor,
    escapes: Escapes,
    /// Cleaned bytes that could be the beginning of a secret.
    held: Vec<u8>,
    /// Bytes at the front of `held` that belong to a secret already found.
    masked: usize,
    line: Vec<u8>,
}

impl LogFilter {
    pub fn new(redactor: Redactor) -> Self {
        Self { redactor, escapes: Escapes::default(), held: Vec::new(), masked: 0, line: Vec::new() }
    }

    /// Takes the next bytes; returns the lines that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        for byte in bytes {
            if let Some(kept) = self.escapes.keep(*byte) {
                self.held.push(kept);
            }
        }
        self.drain(false)
    }

    /// The rest, when the stream ended.
    pub fn finish(&mut self) -> Vec<String> {
        let mut lines = self.drain(true);
        lines.extend(self.end_line());
        lines
    }

    fn drain(&mut self, last: bool) -> Vec<String> {
        let needles = self.redactor.needles.clone();
        let mut lines = Vec::new();
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if !last && needles.may_grow(rest) {
                break;
            }
            let found = needles.longest_match(rest);
            if found > self.masked {
                // Overlapping secrets are one mask.
                if self.masked == 0 {
                    self.line.extend_from_slice(MASK);
                }
                self.masked = found;
            }
            if self.masked > 0 {
                self.masked -= 1;
            } else {
                lines.extend(self.take(self.held[at]));
            }
            at += 1;
        }
        self.held.drain(..at);
        lines
    }

    fn take(&mut self, byte: u8) -> Option<String> {
        if byte == b'\n' {
            return self.end_line();
        }
        let full = if self.line.len() >= MAX_LINE && is_boundary(byte) { self.end_line() } else { None };
        self.line.push(byte);
        full
    }

    /// Empty lines are left out.
    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let text: String = String::from_utf8_lossy(&line).chars().filter(|c| is_shown(*c)).collect();
        let text = text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// Whether a character of UTF-8 may begin with this byte.
fn is_boundary(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Control characters were cut as bytes; these are the ones that only exist as text, among them those that change the
/// direction of writing.
fn is_shown(c: char) -> bool {
    !(c.is_control() && c != '\t'
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
}

/// Removes terminal escape sequences and control bytes, wherever the stream is cut.
#[derive(Default)]
enum Escapes {
    #[default]
    Text,
    /// A carriage return was given as the end of a line; a newline after it is part of the same end.
    Return,
    /// After ESC.
    Escape,
    /// Inside `ESC [ … final byte`.
    Csi,
    /// Inside `ESC ] … BEL` or `… ESC \`.
    String,
    /// After ESC inside a string.
    StringEscape,
}

impl Escapes {
    fn keep(&mut self, byte: u8) -> Option<u8> {
        let (next, kept) = match (&*self, byte) {
            (Self::Csi, 0x20..=0x3f) => (Self::Csi, None),
            (Self::Csi, 0x40..=0x7e) => (Self::Text, None),
            (Self::String, 0x07) => (Self::Text, None),
            (Self::String, 0x1b) => (Self::StringEscape, None),
            // A string that never ends must not swallow the log.
            (Self::String | Self::StringEscape, b'\n') => (Self::Text, Some(b'\n')),
            (Self::StringEscape, b'\\') => (Self::Text, None),
            (Self::String | Self::StringEscape, _) => (Self::String, None),
            (Self::Escape, b'[') => (Self::Csi, None),
            (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') => (Self::String, None),
            (Self::Escape, 0x20..=0x2f) => (Self::Escape, None),
            (Self::Escape, 0x30..=0x7e) => (Self::Text, None),
            (Self::Return, b'\n') => (Self::Text, None),
            (_, 0x1b) => (Self::Escape, None),
            (_, b'\r') => (Self::Return, Some(b'\n')),
            (_, b'\n' | b'\t' | 0x20..=0x7e | 0x80..) => (Self::Text, Some(byte)),
            (_, _) => (Self::Text, None),
        };
        *self = next;
        kept
    }
}

#[cfg(test)]
mod tests;

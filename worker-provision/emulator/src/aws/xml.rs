//! Writing XML by hand, escaped, and reading the little that Route 53 is sent.
//!
//! Invariant: what is written is well formed, whatever the values. Absent: attributes, but for the namespace of a root.

pub(super) fn tag(name: &str, value: impl ToString) -> String {
    format!("<{name}>{}</{name}>", escape(&value.to_string()))
}

pub(super) fn wrap(name: &str, inner: impl AsRef<str>) -> String {
    format!("<{name}>{}</{name}>", inner.as_ref())
}

/// Nothing at all for a value that is not there.
pub(super) fn maybe(name: &str, value: Option<impl ToString>) -> String {
    value.map(|value| tag(name, value)).unwrap_or_default()
}

/// A list as EC2 writes it.
pub(super) fn set(name: &str, items: impl IntoIterator<Item = String>) -> String {
    wrap(name, items.into_iter().map(|item| wrap("item", item)).collect::<String>())
}

pub(super) fn root(name: &str, namespace: &str, inner: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"{namespace}\">{inner}</{name}>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What stands between each pair of tags of that name. The tags carry no attributes and do not nest.
pub(super) fn all<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(open.as_str())
        .skip(1)
        .filter_map(|rest| rest.split_once(close.as_str()).map(|(inner, _)| inner))
        .collect()
}

pub(super) fn first(text: &str, name: &str) -> Option<String> {
    let unescape = |text: &str| {
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#34;", "\"");
        text.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&")
    };
    all(text, name).first().map(|inner| unescape(inner))
}

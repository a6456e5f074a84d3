//! A plan written as a Dockerfile, by its stack's template.
//!
//! Invariant: templates write checked names as they stand, and everything else through `json`, which gives one line that
//! a Dockerfile's parser reads back as the same words. A name that a template asks for and the plan lacks is an error.

use std::sync::LazyLock;

use handlebars::{
    Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderError, RenderErrorReason, no_escape,
};
use serde_json::Value;

use super::plan::{BuildPlan, Step};

/// What templates share: the name, the text.
const PARTIALS: &[(&str, &str)] = &[
    ("lent_node", include_str!("../../../templates/dockerfile/lent_node.hbs")),
    ("packages", include_str!("../../../templates/dockerfile/packages.hbs")),
    ("runtime", include_str!("../../../templates/dockerfile/runtime.hbs")),
    ("site", include_str!("../../../templates/dockerfile/site.hbs")),
    ("sources", include_str!("../../../templates/dockerfile/sources.hbs")),
    ("stage", include_str!("../../../templates/dockerfile/stage.hbs")),
    ("step", include_str!("../../../templates/dockerfile/step.hbs")),
];

/// An argument of generated Dockerfiles. BuildKit does not look into secrets when it takes a step from its cache, so what
/// differs with them is given to the steps beside them.
pub const VARIABLES_ARGUMENT: &str = "BYOP_VARIABLES";

/// What makes secrets of the build into variables of one command; the command itself follows as arguments.
const WITH_SECRETS: &str =
    "for f in /run/secrets/byop-env/*; do [ -f \"$f\" ] && export \"${f##*/}=$(cat \"$f\")\"; done; exec \"$@\"";

/// Everything but the template of a stack, parsed once.
static ENGINE: LazyLock<Result<Handlebars<'static>, String>> = LazyLock::new(|| {
    let mut engine = Handlebars::new();
    engine.register_escape_fn(no_escape);
    engine.set_strict_mode(true);
    engine.register_helper("json", Box::new(json));
    engine.register_helper("copy", Box::new(copy));
    engine.register_helper("quoted", Box::new(quoted));
    PARTIALS.iter().try_for_each(|(name, text)| engine.register_partial(name, text)).map_err(|e| e.to_string())?;
    Ok(engine)
});

pub fn dockerfile(plan: &BuildPlan) -> Result<String, Box<RenderError>> {
    let broken = |e: &String| Box::new(RenderErrorReason::Other(e.clone()).into());
    let engine = ENGINE.as_ref().map_err(broken)?;
    Ok(engine.render_template(plan.template, &with_secrets(plan))?)
}

/// Each step wrapped so that the build's secrets are its environment; nothing changes when there are none.
fn with_secrets(plan: &BuildPlan) -> BuildPlan {
    let mut plan = plan.clone();
    if !plan.secrets.is_empty() {
        let stages = plan.assets.iter_mut().chain(&mut plan.build);
        stages.flat_map(|stage| stage.install.iter_mut().chain(&mut stage.build)).for_each(wrap);
    }
    plan
}

fn wrap(step: &mut Step) {
    let shell = ["/bin/sh", "-c", WITH_SECRETS, "sh"].map(str::to_owned);
    step.argv.splice(0..0, shell);
}

/// Any value as JSON on one line.
fn json(
    h: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let value = h.param(0).map(|param| param.value()).unwrap_or(&Value::Null);
    Ok(out.write(&one_line(value))?)
}

/// A value of a variable between quotes, in which neither a quote nor a dollar sign means anything.
fn quoted(
    h: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let value = h.param(0).and_then(|param| param.value().as_str()).unwrap_or_default();
    Ok(out.write(&in_quotes(value))?)
}

fn in_quotes(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:,@+=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars().filter(|c| !c.is_control()) {
        if ['"', '\\', '$'].contains(&c) {
            text.push('\\');
        }
        text.push(c);
    }
    text + "\""
}

/// Paths and a destination as the JSON form of `COPY`, which allows every character in a path.
fn copy(
    h: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let mut words = h.param(0).and_then(|param| param.value().as_array()).cloned().unwrap_or_default();
    words.extend(h.param(1).map(|param| param.value().clone()));
    Ok(out.write(&one_line(&Value::Array(words)))?)
}

/// JSON has no line breaks inside strings; `<<` is written so that it does not begin a here-document.
fn one_line(value: &Value) -> String {
    let text = match value {
        Value::Array(words) => format!("[{}]", words.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    };
    text.replace("<<", "\\u003c\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
        .replace('\u{85}', "\\u0085")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables() {
        assert_eq!(in_quotes("a/b:1"), "a/b:1");
        assert_eq!(in_quotes("a \"b\" $c \\ \nRUN x"), r#""a \"b\" \$c \\ RUN x""#);
        assert_eq!(in_quotes(""), "\"\"");
    }

    #[test]
    fn words_come_back_as_they_were() {
        let words = serde_json::json!(["a\nRUN id", "\"quoted\"", "$HOME `id`", "<<EOF", "\\", "ü\u{2028}\u{85}", "'"]);
        let line = one_line(&words);
        assert!(!line.contains('\n') && !line.contains("<<") && line.lines().count() == 1);
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), words);
    }
}
